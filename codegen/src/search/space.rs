//! What is searched: genes, and the quantization that they stand for.

use super::Objective;
use crate::approximate::network::{self, Network};
use crate::calibrate::Calibration;
use crate::graph::{Graph, Node, Op};
use crate::plan::{Plan, Type};
use crate::quantize::clamp::bounds_of;
use crate::quantize::config::{ArgMaxConfig, Config, LayerConfig, Scale};
use crate::quantize::format::Format;
use crate::quantize::gemm::weight_scale;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Weights of a network up to which each has a gene of its own.
const EACH: usize = 4096;

/// Steps in which an output of a larger network loses its least important summands.
const SHARES: u8 = 15;

/// The widest truncated results of a layer whose own results are rounded, by bits and by how much the range is cut below
/// what the data shows, in powers of two.
const TRUNCATED: [(u32, u32); 9] = [(8, 0), (8, 1), (7, 0), (6, 0), (6, 1), (5, 0), (4, 0), (4, 1), (3, 0)];

/// The most bits that an approximate choice of a class compares.
const COMPARED: u8 = 15;

/// Genes and their meaning. 0 is a layer's own format and activation and the exact choice; a mask's largest value keeps the
/// whole summand.
#[derive(Debug)]
pub(super) struct Space {
    base: Config,
    input: Operand,
    layers: Vec<Layer>,
    arg_max: Option<usize>,
    largest: Vec<u8>,
}

/// Numbers of an operand.
#[derive(Clone, Copy, Debug)]
struct Operand {
    scale: f64,
    bits: u32,
}

#[derive(Debug)]
struct Layer {
    name: String,
    inputs: usize,
    outputs: usize,
    variants: Vec<Variant>,
    format: Option<usize>,
    activations: Vec<Activation>,
    activation: Option<usize>,
    /// The largest real result that the calibration data shows.
    reach: f64,
    /// The result as the base has it.
    result: Operand,
    /// Bits of the operand as the base has it.
    bits: u32,
    masks: Masks,
}

/// A format with its scales.
#[derive(Clone, Debug)]
struct Variant {
    format: Format,
    /// Of all outputs, if the layer may have one.
    one: Option<f64>,
    /// By output, for rounded results; the one of all, if not given.
    each: Option<Vec<f64>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Activation {
    /// As the base has it.
    Own,
    /// Truncated to so many bits, and the range cut by a power of two.
    Truncated { bits: u32, cut: u32 },
    /// Of a truncated result, so many of the lowest bits less.
    Less(u32),
}

/// Genes of a layer's masks.
#[derive(Debug)]
pub(super) enum Masks {
    /// One a weight, from `at` on: the bits of the operand that count, of `live`.
    Bits {
        /// The first gene.
        at: usize,
        /// All bits.
        live: u8,
    },
    /// One a weight, from `at` on: whether the summand counts.
    Whole {
        /// The first gene.
        at: usize,
    },
    /// One an output, from `at` on: how many of its least important summands are left out.
    Shares {
        /// The first gene.
        at: usize,
        /// By output, its inputs from the least important on.
        order: Vec<Vec<usize>>,
    },
}

impl Space {
    /// Of a network with its base quantization, whose plan is given. `formats` may take the place of what the base leaves
    /// open.
    pub(super) fn new(
        graph: &Graph,
        calibration: &Calibration,
        (base, plan, network): (&Config, &Plan, &Network),
        formats: &[Format],
        objective: Objective,
    ) -> Self {
        let mut space = Self {
            base: base.clone(),
            input: operand(plan, plan.inputs[0].value),
            layers: Vec::new(),
            arg_max: None,
            largest: Vec::new(),
        };
        let weights: usize = network.layers.iter().map(|layer| layer.weight.len()).sum();
        for layer in &network.layers {
            let found = graph.nodes.iter().find(|node| node.name == layer.name);
            let Some((node, Op::Gemm { weight, .. })) = found.map(|node| (node, &node.op)) else {
                unreachable!("layers of a plan are nodes of its graph")
            };
            let Some(step) = plan.steps.iter().find(|step| step.name == layer.name) else {
                unreachable!("layers of a network are steps of its plan")
            };
            let own = base.layer(&layer.name);
            let is_last = space.layers.len() + 1 == network.layers.len();
            let statistics = calibration.tensors[node.inputs[0]].as_ref();
            let square = statistics.map_or(vec![1.0; layer.inputs], |s| s.square.clone());
            let variants = variants(&own, weight, &square, (layer.outputs, is_last), formats);
            let format = (variants.len() > 1).then(|| space.gene(variants.len() as u8 - 1));
            let mut activations = vec![Activation::Own];
            if let (Some(_), Some(bits)) = (own.shift, own.shift.map(|_| own.bits.unwrap_or(8))) {
                activations.extend((1..bits).map(Activation::Less));
            } else if !is_last && variants.iter().all(|v| v.one.is_some()) && has_relu(graph, node) {
                activations.extend(TRUNCATED.map(|(bits, cut)| Activation::Truncated { bits, cut }));
            }
            let activation = (activations.len() > 1).then(|| space.gene(activations.len() as u8 - 1));
            let masks = space.masks(layer, &square, weights, objective);
            let result = graph.consumers(node.output).first().map_or(node.output, |&k| graph.nodes[k].output);
            let reach = calibration.tensors[result].as_ref().map_or(0.0, |s| s.max);
            space.layers.push(Layer {
                name: layer.name.clone(),
                inputs: layer.inputs,
                outputs: layer.outputs,
                variants,
                format,
                activations,
                activation,
                reach,
                result: operand(plan, step.output),
                bits: u8::BITS - layer.live().leading_zeros(),
                masks,
            });
        }
        // Of a layer whose scale is open, all candidates have one scale, and compare its sums.
        let open = space.layers.last().is_some_and(|layer| space.base.layer(&layer.name).scale.is_none());
        let sums = open || network.layers.last().is_some_and(|layer| layer.result == network::Activation::Sums);
        // Cores compare whole numbers at no higher price.
        if objective == Objective::Adders && base.argmax.is_none() && sums {
            space.arg_max = Some(space.gene(COMPARED - 1));
        }
        space
    }

    fn gene(&mut self, largest: u8) -> usize {
        self.largest.push(largest);
        self.largest.len() - 1
    }

    fn masks(&mut self, layer: &network::Layer, square: &[f64], weights: usize, objective: Objective) -> Masks {
        let at = self.largest.len();
        let genes = |largest: u8, count: usize| std::iter::repeat_n(largest, count);
        if weights > EACH {
            self.largest.extend(genes(SHARES, layer.outputs));
            let order = (0..layer.outputs).map(|o| {
                let row = &layer.weight[o * layer.inputs..][..layer.inputs];
                let importance = |&i: &usize| f64::from(row[i]).powi(2) * square[i];
                let mut order: Vec<usize> = (0..layer.inputs).filter(|&i| row[i] != 0).collect();
                order.sort_by(|a, b| importance(a).total_cmp(&importance(b)));
                order
            });
            return Masks::Shares { at, order: order.collect() };
        }
        // A mask of some bits costs a processor more than it saves, and needs an operand without a zero point.
        if objective == Objective::Adders && layer.zero == 0 {
            self.largest.extend(genes(layer.live(), layer.weight.len()));
            Masks::Bits { at, live: layer.live() }
        } else {
            self.largest.extend(genes(1, layer.weight.len()));
            Masks::Whole { at }
        }
    }

    /// The largest value of each gene.
    pub(super) fn largest(&self) -> &[u8] {
        &self.largest
    }

    /// Whether some layer's summands have genes by output alone.
    pub(super) fn is_grouped(&self) -> bool {
        self.layers.iter().any(|layer| matches!(layer.masks, Masks::Shares { .. }))
    }

    /// The genes of the base itself.
    pub(super) fn exact(&self) -> Vec<u8> {
        let mut genes = vec![0; self.largest.len()];
        for layer in &self.layers {
            let keep = match layer.masks {
                Masks::Bits { at, live } => Some((at, live)),
                Masks::Whole { at } => Some((at, 1)),
                Masks::Shares { .. } => None,
            };
            if let Some((at, keep)) = keep {
                genes[at..at + layer.inputs * layer.outputs].fill(keep);
            }
        }
        genes
    }

    /// Genes to begin with, without masks: the base, every format for all layers, with rounded results and with truncated
    /// ones of several widths, and mixtures of two formats.
    pub(super) fn starts(&self) -> Vec<Vec<u8>> {
        let formats = self.layers.iter().map(|layer| layer.variants.len()).max().unwrap_or(1);
        let activations = self.layers.iter().map(|layer| layer.activations.len()).max().unwrap_or(1);
        let mut starts = Vec::new();
        for first in 0..formats {
            for rest in 0..formats {
                for activation in 0..if first == rest { activations } else { 1 } {
                    let mut genes = self.exact();
                    for (k, layer) in self.layers.iter().enumerate() {
                        let format = if k == 0 { first } else { rest };
                        if let Some(gene) = layer.format {
                            genes[gene] = format.min(layer.variants.len() - 1) as u8;
                        }
                        if let Some(gene) = layer.activation {
                            genes[gene] = activation.min(layer.activations.len() - 1) as u8;
                        }
                    }
                    if !starts.contains(&genes) {
                        starts.push(genes);
                    }
                }
            }
        }
        starts
    }

    /// Genes near to some starts, with masks as the paper's first population has them: nearly full and nearly empty ones.
    pub(super) fn near(&self, starts: &[Vec<u8>], count: usize, seed: u64) -> Vec<Vec<u8>> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // No generation of the search draws from it.
        random.set_stream(u64::MAX);
        let mut near = Vec::with_capacity(count);
        for (k, start) in starts.iter().cycle().take(count).enumerate() {
            let mut genes = start.clone();
            for layer in &self.layers {
                let (at, count, most) = match layer.masks {
                    Masks::Bits { at, live } => (at, layer.inputs * layer.outputs, live),
                    Masks::Whole { at } => (at, layer.inputs * layer.outputs, 1),
                    Masks::Shares { at, .. } => (at, layer.outputs, SHARES),
                };
                for gene in &mut genes[at..at + count] {
                    *gene = match (&layer.masks, k % 2) {
                        (Masks::Bits { .. }, 0) => random.random_range(most.saturating_sub(2)..=most),
                        (Masks::Bits { .. }, _) => random.random_range(0..=most.min(10)),
                        (Masks::Whole { .. }, _) => u8::from(random.random::<f64>() < 0.9),
                        (Masks::Shares { .. }, _) => random.random_range(0..=most),
                    };
                }
            }
            near.push(genes);
        }
        near
    }

    /// By layer, what its masks are made of.
    pub(super) fn layer_masks(&self) -> impl Iterator<Item = &Masks> {
        self.layers.iter().map(|layer| &layer.masks)
    }

    /// The genes with the masks of a network that they stand for.
    pub(super) fn with_masks(&self, genes: &[u8], network: &Network) -> Vec<u8> {
        let mut genes = genes.to_vec();
        for (layer, found) in self.layers.iter().zip(&network.layers) {
            match layer.masks {
                Masks::Bits { at, live } => {
                    let less = live.count_ones() - found.live().count_ones();
                    for (gene, &mask) in genes[at..].iter_mut().zip(&found.masks) {
                        *gene = if mask == found.live() { live } else { mask << less };
                    }
                }
                Masks::Whole { at } => {
                    let kept = found.masks.iter().map(|&mask| u8::from(mask != 0));
                    genes[at..].iter_mut().zip(kept).for_each(|(gene, kept)| *gene = kept);
                }
                Masks::Shares { .. } => {}
            }
        }
        genes
    }

    /// The quantization that genes stand for, and by layer and output the real size of 1 in its sums.
    pub(super) fn config(&self, genes: &[u8]) -> (Config, Vec<Vec<f64>>) {
        let mut config = self.base.clone();
        let mut units = Vec::with_capacity(self.layers.len());
        let mut x = self.input;
        for layer in &self.layers {
            let variant = &layer.variants[layer.format.map_or(0, |gene| usize::from(genes[gene]))];
            let mut own = self.base.layer(&layer.name);
            own.weights = Some(variant.format);
            let activation = layer.activations[layer.activation.map_or(0, |gene| usize::from(genes[gene]))];
            let masks = layer.masks(genes, x.bits, own.masks.as_deref());
            let one = variant.one.unwrap_or(1.0);
            let y = match activation {
                Activation::Own => match own.shift {
                    Some(shift) => {
                        Operand { scale: x.scale * one * f64::from(shift).exp2(), bits: own.bits.unwrap_or(8) }
                    }
                    None => layer.result,
                },
                Activation::Truncated { bits, cut } => {
                    let steps = layer.reach / (x.scale * one * f64::from((1u32 << bits) - 1));
                    let shift = (steps.log2().ceil() - f64::from(cut)).clamp(0.0, 24.0) as u32;
                    (own.shift, own.bits) = (Some(shift), Some(bits));
                    Operand { scale: x.scale * one * f64::from(shift).exp2(), bits }
                }
                Activation::Less(less) => {
                    let (shift, bits) = (own.shift.unwrap_or(0) + less, own.bits.unwrap_or(8) - less);
                    (own.shift, own.bits) = (Some(shift), Some(bits));
                    Operand { scale: x.scale * one * f64::from(shift).exp2(), bits }
                }
            };
            own.scale = match (&variant.each, variant.one) {
                (Some(each), _) if own.shift.is_none() => Some(Scale::Outputs(each.clone())),
                (_, Some(one)) => Some(Scale::Layer(one)),
                (Some(each), None) => Some(Scale::Outputs(each.clone())),
                (None, None) => None,
            };
            own.masks = masks;
            units.push((0..layer.outputs).map(|o| x.scale * own.scale.as_ref().map_or(1.0, |s| s.of(o))).collect());
            config.layers.insert(layer.name.clone(), own);
            x = y;
        }
        if let Some(value) = self.arg_max.map(|gene| genes[gene]).filter(|&value| value > 0) {
            config.argmax = Some(ArgMaxConfig { bits: Some((COMPARED - value).into()), ..ArgMaxConfig::default() });
        }
        (config, units)
    }

    /// By layer, whether its scale of weights is the base's, which then was tuned with its biases.
    pub(super) fn tuned(&self) -> impl Iterator<Item = bool> {
        self.layers.iter().map(|layer| self.base.layer(&layer.name).scale.is_some())
    }
}

impl Layer {
    /// The masks that genes stand for, if they leave anything out, for an operand of so many bits.
    fn masks(&self, genes: &[u8], bits: u32, own: Option<&[Vec<u8>]>) -> Option<Vec<Vec<u8>>> {
        let count = self.inputs * self.outputs;
        let mut masks = match &self.masks {
            Masks::Bits { at, live } => {
                let less = self.bits.saturating_sub(bits);
                let mask = |&gene: &u8| if gene == *live { u8::MAX } else { gene >> less };
                genes[*at..at + count].iter().map(mask).collect()
            }
            Masks::Whole { at } => {
                genes[*at..at + count].iter().map(|&gene| if gene == 0 { 0 } else { u8::MAX }).collect::<Vec<u8>>()
            }
            Masks::Shares { at, order } => {
                let mut masks = vec![u8::MAX; count];
                for (o, order) in order.iter().enumerate() {
                    let less = order.len() * usize::from(genes[at + o]) / usize::from(SHARES + 1);
                    order[..less].iter().for_each(|i| masks[o * self.inputs + i] = 0);
                }
                masks
            }
        };
        let own = own.into_iter().flatten().flatten();
        masks.iter_mut().zip(own).for_each(|(mask, own)| *mask &= own);
        let some = masks.iter().any(|&mask| mask != u8::MAX);
        some.then(|| masks.chunks(self.inputs).map(<[u8]>::to_vec).collect())
    }
}

/// The formats that a layer may have, the base's own alone if it names one. Scales are explicit, so that neither they nor
/// the biases move with the masks.
fn variants(
    own: &LayerConfig,
    weight: &[f32],
    square: &[f64],
    (outputs, is_last): (usize, bool),
    formats: &[Format],
) -> Vec<Variant> {
    let named = own.weights.map(|format| vec![format]);
    let formats = named.as_deref().unwrap_or(formats);
    let inputs = weight.len() / outputs.max(1);
    let single = |s: f64| f64::from(s as f32);
    let variant = |&format: &Format| match &own.scale {
        Some(Scale::Layer(one)) => Variant { format, one: Some(*one), each: None },
        Some(Scale::Outputs(each)) => Variant { format, one: None, each: Some(each.clone()) },
        None => {
            let all: Vec<f64> = square.iter().copied().cycle().take(weight.len()).collect();
            let one = single(weight_scale(weight, &all, format).unwrap_or(1.0));
            let row = |row: &[f32]| weight_scale(row, square, format).map_or(one, single);
            // Sums that are compared have one scale.
            let each = (!is_last).then(|| weight.chunks(inputs).map(row).collect());
            Variant { format, one: Some(one), each }
        }
    };
    formats.iter().map(variant).collect()
}

fn has_relu(graph: &Graph, node: &Node) -> bool {
    let [k] = graph.consumers(node.output)[..] else { return false };
    bounds_of(graph, &graph.nodes[k]).is_some_and(|b| b.low == 0.0 && b.high == f64::INFINITY)
}

fn operand(plan: &Plan, value: usize) -> Operand {
    let quant = plan.values[value].quant;
    let bits = if quant.ty == Type::I8 { ((quant.max + 129) as u32).next_power_of_two().ilog2() } else { 8 };
    Operand { scale: quant.scale, bits }
}
