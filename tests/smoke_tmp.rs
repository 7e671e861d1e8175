use redknot::*;
const C: CollectionDefinition<u64, &str> = CollectionDefinition::new("c", 16, Metric::L2);
#[test]
fn churn() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::create(dir.path().join("a")).unwrap();
    let mut rng = 12345u64;
    let mut next = || { rng ^= rng << 13; rng ^= rng >> 7; rng ^= rng << 17; (rng % 1000) as f32 / 1000.0 };
    let mut model = std::collections::BTreeMap::new();
    // bulk
    let n = 3000u64;
    let keys: Vec<u64> = (0..n).collect();
    let flat: Vec<f32> = (0..n * 16).map(|_| next()).collect();
    let vals: Vec<String> = keys.iter().map(|k| format!("v{k}")).collect();
    let vs: Vec<&str> = vals.iter().map(|s| s.as_str()).collect();
    let mut t = db.begin_write().unwrap();
    t.open_collection(C).unwrap().import(&keys, flat.as_slice(), &vs).unwrap();
    t.commit().unwrap();
    for k in &keys { model.insert(*k, flat[*k as usize * 16..][..16].to_vec()); }
    let r = db.verify().unwrap(); assert!(r.is_clean(), "{:?}", r.findings);
    let rep = db.build(C).run().unwrap();
    println!("{rep:?}");
    let r = db.verify().unwrap(); assert!(r.is_clean(), "{:?}", r.findings);
    for round in 0..20u64 {
        let mut t = db.begin_write().unwrap();
        { let mut c = t.open_collection(C).unwrap();
        for i in 0..100 {
            let k = (next() * 4000.0) as u64;
            if i % 2 == 0 { let was = c.remove(k).unwrap(); assert_eq!(was, model.remove(&k).is_some()); }
            else { let v: Vec<f32> = (0..16).map(|_| next()).collect(); let was = c.insert(k, &v, "x").unwrap(); assert_eq!(was, model.insert(k, v).is_some(), "round {round}"); }
        } }
        t.commit().unwrap();
        let r = db.verify().unwrap(); assert!(r.is_clean(), "{:?}", &r.findings[..r.findings.len().min(5)]);
    }
    let c = db.begin_read().unwrap().open_collection(C).unwrap();
    assert_eq!(c.len(), model.len() as u64);
    let mut bad = 0;
    for (k, v) in &model { let f = c.search(v).k(1).ef(200).run().unwrap(); if f.hits[0].key != *k { bad += 1; } }
    println!("bad {bad} of {}", model.len());
    assert_eq!(bad, 0);
}
