//! The order of nodes. ONNX asks for producers first; not every file obeys.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::proto::NodeProto;

/// All names that a node reads, those within its subgraphs included.
pub(super) fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names = Vec::new();
    let mut pending = vec![node];
    while let Some(node) = pending.pop() {
        names.extend(node.input.iter().map(String::as_str).filter(|i| !i.is_empty()));
        for graph in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
            pending.extend(&graph.node);
            names.extend(graph.output.iter().map(|o| o.name.as_str()));
        }
    }
    names
}

/// The nodes with producers before consumers, otherwise in the order of the file.
///
/// # Errors
/// The nodes of a cycle, or that depend on one.
pub(super) fn sort(nodes: &[NodeProto]) -> Result<Vec<&NodeProto>, Vec<&NodeProto>> {
    let mut producer: HashMap<&str, usize> = HashMap::new();
    for (k, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            producer.entry(output).or_insert(k);
        }
    }
    let mut waits = vec![0usize; nodes.len()];
    let mut consumers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for ((k, node), waits) in nodes.iter().enumerate().zip(&mut waits) {
        let producers: HashSet<usize> = reads(node).iter().filter_map(|name| producer.get(name).copied()).collect();
        *waits = producers.len();
        for p in producers {
            if let Some(list) = consumers.get_mut(p) {
                list.push(k);
            }
        }
    }
    let mut ready: BinaryHeap<_> =
        waits.iter().enumerate().filter(|(_, waits)| **waits == 0).map(|(k, _)| Reverse(k)).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(k)) = ready.pop() {
        order.extend(nodes.get(k));
        for &consumer in consumers.get(k).into_iter().flatten() {
            if let Some(waits) = waits.get_mut(consumer) {
                *waits -= 1;
                if *waits == 0 {
                    ready.push(Reverse(consumer));
                }
            }
        }
    }
    if order.len() == nodes.len() {
        return Ok(order);
    }
    // What only follows the cycle is not part of it: peel off, from the end, what no stuck node reads.
    let stuck = |k: usize| waits.get(k).is_some_and(|w| *w > 0);
    let mut read_by: Vec<usize> = consumers.iter().map(|list| list.iter().filter(|&&c| stuck(c)).count()).collect();
    let mut ends: Vec<usize> = (0..nodes.len()).filter(|&k| stuck(k) && read_by.get(k) == Some(&0)).collect();
    let mut peeled: HashSet<usize> = ends.iter().copied().collect();
    while let Some(node) = ends.pop().and_then(|k| nodes.get(k)) {
        let producers: HashSet<usize> = reads(node).iter().filter_map(|name| producer.get(name).copied()).collect();
        for p in producers.into_iter().filter(|&p| stuck(p)) {
            if let Some(n) = read_by.get_mut(p) {
                *n = n.saturating_sub(1);
                if *n == 0 && peeled.insert(p) {
                    ends.push(p);
                }
            }
        }
    }
    Err(nodes.iter().enumerate().filter(|(k, _)| stuck(*k) && !peeled.contains(k)).map(|(_, n)| n).collect())
}

/// Those of the sorted nodes that the outputs need.
pub(super) fn needed<'n>(order: Vec<&'n NodeProto>, outputs: &[&'n str]) -> Vec<&'n NodeProto> {
    let mut names: HashSet<&str> = outputs.iter().copied().collect();
    let mut kept: Vec<_> = order
        .into_iter()
        .rev()
        .filter(|node| {
            let needed = node.output.iter().any(|o| names.contains(o.as_str()));
            if needed {
                names.extend(reads(node));
            }
            needed
        })
        .collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(output: &str, inputs: &[&str]) -> NodeProto {
        let input = inputs.iter().map(|&i| i.to_owned()).collect();
        NodeProto { output: vec![output.to_owned()], input, ..NodeProto::default() }
    }

    fn names<'a>(nodes: &[&'a NodeProto]) -> Vec<&'a str> {
        nodes.iter().map(|n| n.output[0].as_str()).collect()
    }

    #[test]
    fn producers_come_first_and_the_file_order_stays() {
        let nodes = [node("d", &["c", "a"]), node("a", &["x"]), node("b", &["x", ""]), node("c", &["b", "b"])];
        let order = sort(&nodes).unwrap();
        assert_eq!(names(&order), ["a", "b", "c", "d"]);
        assert_eq!(names(&needed(order, &["c"])), ["b", "c"]);
    }

    #[test]
    fn a_cycle_names_its_nodes_only() {
        let nodes =
            [node("a", &["x"]), node("b", &["a", "c"]), node("c", &["b"]), node("d", &["c"]), node("e", &["e"])];
        assert_eq!(names(&sort(&nodes).unwrap_err()), ["b", "c", "e"]);
    }
}
