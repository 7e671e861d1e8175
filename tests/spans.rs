//! The spans that a program can follow a database by.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use redknot::train::TrainOptions;
use redknot::{CollectionDefinition, Database, Metric};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Subscriber, subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

const POINTS: CollectionDefinition<'static, u64, ()> = CollectionDefinition::new("points", 8, Metric::L2);

type Fields = BTreeMap<&'static str, String>;

/// Keeps all spans that were closed, with their fields.
#[derive(Clone, Default)]
struct Closed(Arc<Mutex<Vec<(&'static str, Fields)>>>);

struct Seen(Fields);

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_string());
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Closed {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut seen = Seen(Fields::new());
        attributes.record(&mut seen);
        context.span(id).unwrap().extensions_mut().insert(seen);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        values.record(context.span(id).unwrap().extensions_mut().get_mut::<Seen>().unwrap());
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let Seen(fields) = span.extensions_mut().remove::<Seen>().unwrap();
        self.0.lock().unwrap().push((span.name(), fields));
    }
}

#[test]
fn builds_trainings_searches_and_commits_are_spans() {
    let closed = Closed::default();
    let _default = subscriber::set_default(Registry::default().with(closed.clone()));
    let take = |name: &str| {
        let all = std::mem::take(&mut *closed.0.lock().unwrap());
        let of = all.into_iter().filter(|span| span.0 == name).map(|span| span.1);
        of.collect::<Vec<Fields>>()
    };
    let folder = tempfile::tempdir().unwrap();
    let db = Database::create(folder.path().join("db")).unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    let rows: Vec<f32> = (0..2000 * 8).map(|_| rng.f32()).collect();
    let keys: Vec<u64> = (0..2000).collect();
    let mut txn = db.begin_write().unwrap();
    txn.open_collection(POINTS).unwrap().import(&keys, rows.as_slice(), &[]).unwrap();
    txn.commit().unwrap();
    let [commit] = &take("commit")[..] else { panic!("one commit") };
    assert!(commit["dirty_bytes"].parse::<u64>().unwrap() >= 2000 * 8 * 4, "{commit:?}");

    db.build(POINTS).run().unwrap();
    let [build] = &take("build")[..] else { panic!("one build") };
    assert_eq!((build["collection"].as_str(), build["linked"].as_str()), ("points", "2000"));

    let points = db.begin_read().unwrap().open_collection(POINTS).unwrap();
    let stats = points.search(&rows[..8]).k(3).run().unwrap().stats;
    points.search(&rows[..8]).k(3).exact().run().unwrap();
    let [search, exact] = &take("search")[..] else { panic!("two searches") };
    assert_eq!((search["collection"].as_str(), search["k"].as_str()), ("points", "3"));
    assert_eq!(search["distances"], stats.distances.to_string());
    assert_eq!((search["hops"].clone(), search["routed"].as_str()), (stats.hops.to_string(), "false"));
    assert_eq!(exact["distances"], "2000");

    let options = TrainOptions { queries: 200, steps: 5, ..TrainOptions::default() };
    let report = db.train_router(POINTS).queries(&rows[..300 * 8]).options(options).run().unwrap();
    let [train] = &take("train")[..] else { panic!("one training") };
    assert_eq!(train["accepted"], report.accepted.to_string());
    assert_eq!(
        (train["queries"].clone(), train["resumed"].as_str()),
        (report.training.queries.to_string(), "false")
    );

    // Where it fails, a span ends all the same.
    assert!(db.train_router(POINTS).k(0).run().is_err());
    assert_eq!(take("train").len(), 1);
}
