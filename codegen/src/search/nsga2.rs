//! NSGA-II: Deb, Pratap, Agarwal and Meyarivan 2002, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II",
//! IEEE Transactions on Evolutionary Computation 6(2), for genes that are small integers and two objectives.
//!
//! Every generation draws its random numbers in one sequence of its own, and only evaluations run side by side: a seed gives
//! one result for any number of threads, and a population can be taken up again in any generation.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// How long and how broadly is searched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Individuals that live on from a generation to the next; as many children are evaluated in each.
    pub population: usize,
    /// Generations of children.
    pub generations: usize,
    /// Of the random numbers.
    pub seed: u64,
    /// Evaluations that run side by side.
    pub threads: NonZeroUsize,
    /// Share of children that come of two parents.
    pub crossover: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { population: 200, generations: 100, seed: 1, threads: NonZeroUsize::MIN, crossover: 0.7 }
    }
}

/// What genes are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Both are the better the smaller.
    pub objectives: [f64; 2],
    /// By how much the genes miss what they have to keep to: 0, if by nothing.
    pub violation: f64,
}

impl Score {
    /// Whether it is better in one way and worse in none. Among scores that violate the constraint, the one that does it
    /// less is better; any that does not is better still (section VI of the paper).
    pub fn dominates(&self, other: &Self) -> bool {
        match self.violation.total_cmp(&other.violation) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => {
                let ([a, b], [c, d]) = (self.objectives, other.objectives);
                a <= c && b <= d && (a < c || b < d)
            }
        }
    }
}

/// Genes and what they are worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Individual {
    /// Each from 0 to its gene's largest value.
    pub genes: Vec<u8>,
    /// As evaluated.
    pub score: Score,
}

/// Where a search begins.
#[derive(Clone, Debug)]
pub enum Start {
    /// With these genes, which are filled up with random ones.
    First(Vec<Vec<u8>>),
    /// With the population, in its order, that so many generations have left.
    After(usize, Vec<Vec<u8>>),
}

/// Minimizes two objectives. `largest` has a gene's largest value each. After the first population and each generation
/// `progress` is told how many generations are done, and the population, and may end the search. The result is the last
/// population's non-dominated individuals, by the first objective.
///
/// # Panics
/// If an individual of `start` has another number of genes than `largest`.
pub fn minimize(
    largest: &[u8],
    start: Start,
    options: &Options,
    evaluate: impl Fn(&[u8]) -> Score + Sync,
    progress: &mut dyn FnMut(usize, &[Individual]) -> ControlFlow<()>,
) -> Vec<Individual> {
    let size = options.population.max(2);
    let (done, mut population) = match start {
        Start::After(done, genes) => (done, evaluated(genes, options.threads, &evaluate)),
        Start::First(first) => {
            let mut random = generator(options.seed, 0);
            let mut seen = BTreeSet::new();
            let mut genes: Vec<Vec<u8>> = first.into_iter().filter(|genes| seen.insert(genes.clone())).collect();
            fill(&mut genes, &mut seen, size, || largest.iter().map(|&most| random.random_range(0..=most)).collect());
            (0, individuals(select(evaluated(genes, options.threads, &evaluate), size)))
        }
    };
    assert!(population.iter().all(|one| one.genes.len() == largest.len()), "every individual has every gene");
    let mut flow = progress(done, &population);
    for generation in done + 1..=options.generations {
        if flow.is_break() {
            break;
        }
        let mut random = generator(options.seed, generation);
        let mut seen: BTreeSet<Vec<u8>> = population.iter().map(|one| one.genes.clone()).collect();
        // Ranks are those within the population, whatever it was selected from: they need not be kept.
        let parents = select(population.clone(), size);
        let mut children = Vec::with_capacity(size);
        fill(&mut children, &mut seen, size, || {
            let [a, b] = [(); 2].map(|()| tournament(&parents, &mut random));
            let mut child =
                if random.random::<f64>() < options.crossover { cross(a, b, largest, &mut random) } else { a.to_vec() };
            mutate(&mut child, largest, &mut random);
            child
        });
        let mut all = evaluated(children, options.threads, &evaluate);
        all.extend(population);
        population = individuals(select(all, size));
        flow = progress(generation, &population);
    }
    let first = fronts(&population).into_iter().next().unwrap_or_default();
    let mut front: Vec<Individual> = first.into_iter().map(|k| population[k].clone()).collect();
    front.sort_by(|a, b| by_objective(a, b, 0).then_with(|| a.genes.cmp(&b.genes)));
    front
}

/// The random numbers of a generation.
fn generator(seed: u64, generation: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(generation as u64);
    random
}

/// Adds new genes until there are `size`, or hardly any new ones are found.
fn fill(genes: &mut Vec<Vec<u8>>, seen: &mut BTreeSet<Vec<u8>>, size: usize, mut next: impl FnMut() -> Vec<u8>) {
    let mut tries = 20 * size;
    while genes.len() < size && tries > 0 {
        tries -= 1;
        let new = next();
        if seen.insert(new.clone()) {
            genes.push(new);
        }
    }
}

/// An individual with its place in the population.
#[derive(Clone, Debug)]
struct Ranked {
    individual: Individual,
    /// How many fronts dominate it.
    rank: usize,
    /// How far its neighbours in its front are apart.
    distance: f64,
}

impl Ranked {
    /// The crowded-comparison operator (section III-B): the better first.
    fn order(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank).then(other.distance.total_cmp(&self.distance))
    }
}

fn individuals(population: Vec<Ranked>) -> Vec<Individual> {
    population.into_iter().map(|ranked| ranked.individual).collect()
}

fn by_objective(a: &Individual, b: &Individual, objective: usize) -> Ordering {
    let other = 1 - objective;
    let (x, y) = (a.score.objectives, b.score.objectives);
    x[objective].total_cmp(&y[objective]).then(x[other].total_cmp(&y[other]))
}

/// In the order of the genes, whatever thread has evaluated them.
fn evaluated(
    genes: Vec<Vec<u8>>,
    threads: NonZeroUsize,
    evaluate: &(impl Fn(&[u8]) -> Score + Sync),
) -> Vec<Individual> {
    let mut all: Vec<Individual> =
        genes.into_iter().map(|genes| Individual { genes, score: Score::default() }).collect();
    let share = all.len().div_ceil(threads.get()).max(1);
    std::thread::scope(|scope| {
        for part in all.chunks_mut(share) {
            scope.spawn(move || part.iter_mut().for_each(|one| one.score = evaluate(&one.genes)));
        }
    });
    all
}

/// The best `size` (section III-C): front by front, of the last one the least crowded.
fn select(all: Vec<Individual>, size: usize) -> Vec<Ranked> {
    let mut ranked: Vec<Ranked> = Vec::with_capacity(all.len());
    for (rank, front) in fronts(&all).into_iter().enumerate() {
        if ranked.len() >= size {
            break;
        }
        let distances = crowding(&all, &front);
        let place = |(k, distance): (usize, f64)| Ranked { individual: all[k].clone(), rank, distance };
        ranked.extend(front.into_iter().zip(distances).map(place));
    }
    // Stable: among equals the order is that of the individuals.
    ranked.sort_by(Ranked::order);
    ranked.truncate(size);
    ranked
}

/// The fast non-dominated sort (section III-A).
fn fronts(all: &[Individual]) -> Vec<Vec<usize>> {
    let mut dominated: Vec<Vec<usize>> = vec![Vec::new(); all.len()];
    let mut dominators = vec![0usize; all.len()];
    for (k, a) in all.iter().enumerate() {
        for (j, b) in all.iter().enumerate().filter(|(_, b)| a.score.dominates(&b.score)) {
            debug_assert!(!b.score.dominates(&a.score));
            dominated[k].push(j);
            dominators[j] += 1;
        }
    }
    let mut found = Vec::new();
    let mut front: Vec<usize> = (0..all.len()).filter(|&k| dominators[k] == 0).collect();
    while !front.is_empty() {
        let mut next = Vec::new();
        for &j in front.iter().flat_map(|&k| &dominated[k]) {
            dominators[j] -= 1;
            if dominators[j] == 0 {
                next.push(j);
            }
        }
        next.sort_unstable();
        found.push(std::mem::replace(&mut front, next));
    }
    found
}

/// The crowding distances of a front's individuals (section III-B).
fn crowding(all: &[Individual], front: &[usize]) -> Vec<f64> {
    let mut distance = vec![0.0; front.len()];
    for objective in 0..2 {
        let value = |place: usize| all[front[place]].score.objectives[objective];
        let mut order: Vec<usize> = (0..front.len()).collect();
        order.sort_by(|&a, &b| by_objective(&all[front[a]], &all[front[b]], objective));
        let (Some(&least), Some(&most)) = (order.first(), order.last()) else { continue };
        let span = value(most) - value(least);
        (distance[least], distance[most]) = (f64::INFINITY, f64::INFINITY);
        if span > 0.0 {
            order.windows(3).for_each(|near| distance[near[1]] += (value(near[2]) - value(near[0])) / span);
        }
    }
    distance
}

/// The better of two.
fn tournament<'p>(population: &'p [Ranked], random: &mut ChaCha8Rng) -> &'p [u8] {
    let [a, b] = [(); 2].map(|()| &population[random.random_range(0..population.len())]);
    &(if b.order(a) == Ordering::Less { b } else { a }).individual.genes
}

/// One child of simulated binary crossover (Deb and Agrawal 1995), rounded. Half of the genes stay the first parent's.
fn cross(a: &[u8], b: &[u8], largest: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    // How near children are to their parents: the distribution index of the bespoke networks' search.
    const INDEX: f64 = 15.0;
    let gene = |((&a, &b), &most): ((&u8, &u8), &u8)| {
        let (swapped, u, side) = (random.random::<f64>() < 0.5, random.random::<f64>(), random.random::<f64>() < 0.5);
        if !swapped || a == b {
            return a;
        }
        let spread = if u <= 0.5 { 2.0 * u } else { 0.5 / (1.0 - u) }.powf(1.0 / (INDEX + 1.0));
        let (middle, half) = (f64::midpoint(a.into(), b.into()), f64::from(a.abs_diff(b)) / 2.0);
        let child = if side { middle + spread * half } else { middle - spread * half };
        child.round().clamp(0.0, most.into()) as u8
    };
    a.iter().zip(b).zip(largest).map(gene).collect()
}

/// Changes one gene in the mean: by polynomial mutation (Deb and Goyal 1996), rounded, or to any other value, as neither a
/// mask's bits nor the choice of two values is a matter of size.
fn mutate(genes: &mut [u8], largest: &[u8], random: &mut ChaCha8Rng) {
    const INDEX: f64 = 5.0;
    let rate = 1.0 / genes.len().max(1) as f64;
    for (gene, &most) in genes.iter_mut().zip(largest) {
        if random.random::<f64>() >= rate {
            continue;
        }
        if random.random::<f64>() < 0.5 {
            *gene = random.random_range(0..=most);
        } else {
            let u = random.random::<f64>();
            let power = |x: f64| x.powf(1.0 / (INDEX + 1.0));
            let step = if u < 0.5 { power(2.0 * u) - 1.0 } else { 1.0 - power(2.0 * (1.0 - u)) };
            *gene = (f64::from(*gene) + step * f64::from(most)).round().clamp(0.0, most.into()) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow::{Break, Continue};

    /// Leading ones against trailing zeros, as both are to be many (Laumanns, Thiele, Zitzler, Welzl and Deb 2002): the
    /// front is every number of leading ones with zeros behind them.
    fn leading_ones_trailing_zeros(genes: &[u8]) -> Score {
        let ones = genes.iter().take_while(|&&gene| gene == 1).count();
        let zeros = genes.iter().rev().take_while(|&&gene| gene == 0).count();
        Score { objectives: [-(ones as f64), -(zeros as f64)], violation: 0.0 }
    }

    fn found(options: &Options) -> Vec<Individual> {
        minimize(&[1; 12], Start::First(Vec::new()), options, leading_ones_trailing_zeros, &mut |_, _| Continue(()))
    }

    #[test]
    fn a_population_is_taken_up_again_where_it_was_left() {
        let options = Options { population: 21, generations: 15, seed: 7, ..Options::default() };
        let evaluate = leading_ones_trailing_zeros;
        for end in [0, 4, 14] {
            let mut kept = Vec::new();
            let mut stop = |generation: usize, population: &[Individual]| {
                kept = population.iter().map(|one| one.genes.clone()).collect();
                if generation == end { Break(()) } else { Continue(()) }
            };
            minimize(&[1; 12], Start::First(Vec::new()), &options, evaluate, &mut stop);
            let rest = minimize(&[1; 12], Start::After(end, kept), &options, evaluate, &mut |_, _| Continue(()));
            assert_eq!(rest, found(&options), "after {end}");
        }
    }

    #[test]
    fn the_whole_front_is_found() {
        for seed in 1..=3 {
            let front = found(&Options { population: 60, generations: 120, seed, ..Options::default() });
            let points: BTreeSet<(i32, i32)> =
                front.iter().map(|one| one.score.objectives).map(|[a, b]| (-a as i32, -b as i32)).collect();
            assert_eq!(points, (0..=12).map(|ones| (ones, 12 - ones)).collect(), "seed {seed}");
        }
    }

    #[test]
    fn values_of_many_bits_approach_their_optimum() {
        // The squared distances to 60 and to 200 by gene: the front is all equal genes from 60 to 200.
        let squares = |genes: &[u8], to: f64| genes.iter().map(|&g| (f64::from(g) - to).powi(2)).sum::<f64>();
        let evaluate =
            |genes: &[u8]| Score { objectives: [squares(genes, 60.0), squares(genes, 200.0)], violation: 0.0 };
        let options = Options { population: 60, generations: 300, ..Options::default() };
        let front = minimize(&[255; 4], Start::First(Vec::new()), &options, evaluate, &mut |_, _| Continue(()));
        let roots = |k: usize| front.iter().map(move |one| one.score.objectives[k].sqrt());
        // On the front both roots add up to the distance of the optima, 140 a gene.
        for (a, b) in roots(0).zip(roots(1)) {
            assert!(a + b < 1.1 * 280.0, "{a} + {b}");
        }
        for k in 0..2 {
            assert!(roots(k).fold(f64::INFINITY, f64::min) < 14.0 && roots(k).fold(0.0, f64::max) > 266.0);
        }
    }

    #[test]
    fn threads_change_nothing() {
        let options = Options { population: 21, generations: 15, seed: 7, ..Options::default() };
        let one = found(&options);
        for threads in [2, 5, 64] {
            let threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
            assert_eq!(found(&Options { threads, ..options }), one);
        }
        assert_ne!(found(&Options { seed: 8, ..options }), one);
    }

    #[test]
    fn what_violates_the_constraint_is_dominated() {
        // At least three ones; otherwise the fewest and the most are sought at once.
        let evaluate = |genes: &[u8]| {
            let ones: f64 = genes.iter().map(|&gene| f64::from(gene)).sum();
            Score { objectives: [ones, ones], violation: (3.0 - ones).max(0.0) }
        };
        let options = Options { population: 10, generations: 40, ..Options::default() };
        let front = minimize(&[1; 8], Start::First(vec![vec![0; 8]]), &options, evaluate, &mut |_, _| Continue(()));
        assert!(front.iter().all(|one| one.score == Score { objectives: [3.0; 2], violation: 0.0 }), "{front:?}");
    }

    #[test]
    fn fronts_and_distances_by_hand() {
        let points = [[1.0, 5.0], [2.0, 3.0], [5.0, 1.0], [3.0, 4.0], [6.0, 6.0]];
        let score = |objectives| Score { objectives, violation: 0.0 };
        let all: Vec<Individual> = points.map(|p| Individual { genes: Vec::new(), score: score(p) }).to_vec();
        assert_eq!(fronts(&all), [vec![0, 1, 2], vec![3], vec![4]]);
        // The middle one's neighbours span both objectives.
        assert_eq!(crowding(&all, &[0, 1, 2]), [f64::INFINITY, 2.0, f64::INFINITY]);
    }
}
