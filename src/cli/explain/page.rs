//! The page that draws an explanation: a template, and the data as JSON in it.

use std::fmt::Display;

use redknot::{Explanation, Hop, Seen, Walk};
use serde::Serialize;

use super::super::error::CliError;
use super::{effort, stopped, verdict, walks};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Characters of a payload that are shown.
const PAYLOAD: usize = 300;

#[derive(Serialize)]
struct Page<'e> {
    collection: &'e str,
    query: String,
    k: usize,
    verdict: String,
    plane_share: f64,
    nodes: Vec<PageNode>,
    walks: Vec<PageWalk<'e>>,
}

/// A node with its key as a text: numbers above 2^53 mean another one to a browser.
#[derive(Serialize)]
struct PageNode {
    key: String,
    payload: String,
    distance: f32,
    x: f32,
    y: f32,
}

#[derive(Serialize)]
struct PageWalk<'e> {
    name: &'static str,
    effort: String,
    stop: &'static str,
    entry: Option<usize>,
    /// Landmarks whose keys were scored: all scores but those of the hops.
    landmarks: u64,
    hops: &'e [Hop],
    reranked: &'e [Seen],
    hits: Vec<PageHit>,
    distances: u64,
    key_scores: u64,
}

#[derive(Serialize)]
struct PageHit {
    key: String,
    payload: String,
    distance: f32,
    /// Its node, where the graph led to it.
    node: Option<usize>,
}

impl<'e> PageWalk<'e> {
    fn new<K>(name: &'static str, walk: &'e Walk<K>, hits: Vec<PageHit>) -> PageWalk<'e> {
        let Walk { entry, hops, reranked, distances, key_scores, .. } = walk;
        let scored_in_hops = hops.iter().map(|hop| hop.seen.len() as u64).sum();
        PageWalk {
            name,
            effort: effort(&walk.plan),
            stop: stopped(walk.stop),
            entry: *entry,
            landmarks: key_scores.saturating_sub(scored_in_hops),
            hops,
            reranked,
            hits,
            distances: *distances,
            key_scores: *key_scores,
        }
    }
}

/// The page. `payload` gives the payload of the row with a key.
pub(super) fn render<K: Display + PartialEq>(
    explained: &Explanation<K>,
    query: String,
    payload: impl Fn(&K) -> Result<String, CliError>,
) -> Result<String, CliError> {
    let payload = |key: &K| -> Result<String, CliError> { Ok(cut(&payload(key)?)) };
    let node = |node: &redknot::Node<K>| -> Result<PageNode, CliError> {
        let (key, payload) = (node.key.to_string(), payload(&node.key)?);
        Ok(PageNode { key, payload, distance: node.distance, x: node.x, y: node.y })
    };
    let hits = |walk: &Walk<K>| -> Result<Vec<PageHit>, CliError> {
        let hit = |hit: &redknot::Hit<K>| -> Result<PageHit, CliError> {
            Ok(PageHit {
                key: hit.key.to_string(),
                payload: payload(&hit.key)?,
                distance: hit.distance,
                node: explained.nodes.iter().position(|node| node.key == hit.key),
            })
        };
        walk.hits.iter().map(hit).collect()
    };
    let mut pages = Vec::new();
    for (name, walk) in walks(&explained.greedy, explained.router.as_ref()) {
        pages.push(PageWalk::new(name, walk, hits(walk)?));
    }
    let page = Page {
        collection: &explained.collection,
        query,
        k: explained.k,
        verdict: verdict(explained),
        plane_share: explained.plane_share,
        nodes: explained.nodes.iter().map(node).collect::<Result<_, _>>()?,
        walks: pages,
    };
    let data = serde_json::to_string(&page).map_err(std::io::Error::from)?;
    Ok(fill(&inert(&data)))
}

/// JSON that means the same and that no parser of HTML takes for anything: these characters stand in strings only.
fn inert(json: &str) -> String {
    let mut inert = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                inert.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => inert.push(other),
        }
    }
    inert
}

/// The template with style, data and script in their places, which lie in this order.
fn fill(data: &str) -> String {
    let mut page = String::new();
    let mut rest = PAGE;
    for (place, content) in [("@STYLE@", STYLE), ("@DATA@", data), ("@SCRIPT@", SCRIPT)] {
        let (before, after) = rest.split_once(place).unwrap_or((rest, ""));
        page.push_str(before);
        page.push_str(content);
        rest = after;
    }
    page + rest
}

fn cut(payload: &str) -> String {
    match payload.char_indices().nth(PAYLOAD) {
        Some((end, _)) => format!("{}…", &payload[..end]),
        None => payload.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_the_data_early_and_nothing_is_lost() {
        let hostile = "</script><!--<script>alert(1)&amp;]]>\u{2028}\u{2029}@SCRIPT@ \"'`${x}\\";
        let json = inert(&serde_json::to_string(hostile).unwrap());
        assert!(!json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), hostile);
        let page = fill(&json);
        assert!(page.contains(&json) && page.trim_end().ends_with("</html>"));
        assert_eq!(page.matches("</script>").count(), 2);
    }

    #[test]
    fn the_page_asks_for_nothing_from_outside() {
        let page = fill("{}");
        for outside in ["http:", "https:", "//www", "src=", "href=", "url(", "@import", "fetch(", "innerHTML"]
        {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("default-src 'none'"));
        assert!(!page.contains("@STYLE@") && !page.contains("@DATA@") && !page.contains("@SCRIPT@"));
    }

    #[test]
    fn a_long_payload_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"ü".repeat(PAYLOAD + 1)), "ü".repeat(PAYLOAD) + "…");
    }
}
