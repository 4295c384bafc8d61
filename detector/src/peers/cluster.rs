//! k-means and the silhouette, over points most of whose coordinates are zero.
//!
//! Sums run in a fixed order and roots are correctly rounded, so the same points give the same labels on every machine.

use crate::random::Random;

/// Beginnings of which the best is taken, and rounds after which one has settled or never will.
const STARTS: u64 = 8;
const ROUNDS_MAX: usize = 25;
/// Points that the silhouette is taken of, among each other.
const SILHOUETTE_OF: usize = 512;

/// Coordinates that are not zero, in order, and the sum of their squares.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    coordinates: Vec<(u16, f64)>,
    square: f64,
}

impl Point {
    /// Of unit length, as far as there is any.
    pub(super) fn new(mut coordinates: Vec<(u16, f64)>) -> Self {
        let square: f64 = coordinates.iter().map(|(_, x)| x * x).sum();
        if square > 0.0 {
            let length = libm::sqrt(square);
            for (_, x) in &mut coordinates {
                *x /= length;
            }
        }
        Self { coordinates, square: f64::from(u8::from(square > 0.0)) }
    }

    pub(super) fn is_zero(&self) -> bool {
        self.coordinates.is_empty()
    }

    fn distance(&self, other: &Self) -> f64 {
        let (mut i, mut j, mut dot) = (0, 0, 0.0);
        while let (Some((a, x)), Some((b, y))) = (self.coordinates.get(i), other.coordinates.get(j)) {
            if a == b {
                dot += x * y;
            }
            (i, j) = (i + usize::from(a <= b), j + usize::from(b <= a));
        }
        libm::sqrt((self.square + other.square - 2.0 * dot).max(0.0))
    }
}

/// The mean of some points.
#[derive(Clone)]
struct Mean {
    coordinates: Vec<f64>,
    square: f64,
}

impl Mean {
    fn of<'a>(points: impl Iterator<Item = &'a Point>, dimensions: usize) -> Option<Self> {
        let (mut coordinates, mut n) = (vec![0.0; dimensions], 0.0);
        for point in points {
            n += 1.0;
            for &(d, x) in &point.coordinates {
                coordinates[usize::from(d)] += x;
            }
        }
        for x in &mut coordinates {
            *x /= n;
        }
        let square = coordinates.iter().map(|x| x * x).sum();
        (n > 0.0).then_some(Self { coordinates, square })
    }

    fn square_distance(&self, point: &Point) -> f64 {
        let dot: f64 = point.coordinates.iter().map(|&(d, x)| x * self.coordinates[usize::from(d)]).sum();
        (self.square + point.square - 2.0 * dot).max(0.0)
    }
}

/// The nearest of `means` and the square of its distance.
fn nearest(means: &[Mean], point: &Point) -> (u8, f64) {
    let mut best = (0, f64::INFINITY);
    for (label, mean) in means.iter().enumerate() {
        let square = mean.square_distance(point);
        if square < best.1 {
            best = (label as u8, square);
        }
    }
    best
}

/// Labels under `k`, at most 256, of points that lie together; not all of them need occur. The same seed gives the same.
pub(super) fn k_means(points: &[Point], dimensions: usize, k: usize, seed: u64) -> Vec<u8> {
    let starts = (0..STARTS).map(|start| {
        let mut random = Random::new(seed.wrapping_mul(STARTS).wrapping_add(start));
        settle(points, dimensions, beginning(points, dimensions, k, &mut random))
    });
    starts.min_by(|a, b| a.1.total_cmp(&b.1)).map_or_else(Vec::new, |(labels, _)| labels)
}

/// k-means++ (Arthur and Vassilvitskii, 2007): each mean begins at a point that is drawn by how far it is from those before.
fn beginning(points: &[Point], dimensions: usize, k: usize, random: &mut Random) -> Vec<Mean> {
    let mut far = vec![1.0; points.len()];
    let mut means: Vec<Mean> = Vec::with_capacity(k);
    for _ in 0..k {
        let mut rest = random.unit() * far.iter().sum::<f64>();
        let drawn = far.iter().position(|square| {
            rest -= square;
            rest < 0.0
        });
        let drawn = drawn.unwrap_or(points.len() - 1);
        let Some(mean) = Mean::of(points[drawn..=drawn].iter(), dimensions) else { break };
        for (far, point) in far.iter_mut().zip(points) {
            let square = mean.square_distance(point);
            *far = if means.is_empty() { square } else { far.min(square) };
        }
        means.push(mean);
    }
    means
}

/// Lloyd's rounds until nothing changes; the labels and the sum of squares.
fn settle(points: &[Point], dimensions: usize, mut means: Vec<Mean>) -> (Vec<u8>, f64) {
    let mut labels: Vec<u8> = Vec::new();
    let mut whole = f64::INFINITY;
    for _ in 0..ROUNDS_MAX {
        let near: Vec<(u8, f64)> = points.iter().map(|point| nearest(&means, point)).collect();
        whole = near.iter().map(|(_, square)| square).sum();
        let now: Vec<u8> = near.into_iter().map(|(label, _)| label).collect();
        if now == labels {
            break;
        }
        labels = now;
        for (label, mean) in means.iter_mut().enumerate() {
            let its = points.iter().zip(&labels).filter(|(_, l)| usize::from(**l) == label);
            // One that is nobody's nearest stays where it is.
            if let Some(now) = Mean::of(its.map(|(point, _)| point), dimensions) {
                *mean = now;
            }
        }
    }
    (labels, whole)
}

/// How much nearer points are to those of their label than to those of the next, from −1 to 1 (Rousseeuw, 1987): the mean, and its
/// standard error. Of a point that is alone it is nothing. Of many points the first speak for all.
pub(super) fn silhouette(points: &[Point], labels: &[u8]) -> (f64, f64) {
    let n = points.len().min(SILHOUETTE_OF);
    let k = labels.iter().max().map_or(0, |most| usize::from(*most) + 1);
    let mut sizes = vec![0.0; k];
    labels[..n].iter().for_each(|label| sizes[usize::from(*label)] += 1.0);
    let mut sums = vec![0.0; n * k];
    for i in 0..n {
        for j in 0..i {
            let distance = points[i].distance(&points[j]);
            sums[i * k + usize::from(labels[j])] += distance;
            sums[j * k + usize::from(labels[i])] += distance;
        }
    }
    let of = |i: usize| {
        let own = usize::from(labels[i]);
        let mean = |label: usize| sums[i * k + label] / (sizes[label] - f64::from(u8::from(label == own)));
        let others = (0..k).filter(|label| *label != own && sizes[*label] > 0.0);
        let next = others.map(mean).fold(f64::INFINITY, f64::min);
        let (own, is_alone) = (mean(own), sizes[own] <= 1.0);
        if is_alone || next.is_infinite() || own.max(next) <= 0.0 {
            0.0
        } else {
            (next - own) / own.max(next)
        }
    };
    let all: Vec<f64> = (0..n).map(of).collect();
    let n = (n as f64).max(1.0);
    let mean = all.iter().sum::<f64>() / n;
    let variance = all.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>() / n;
    (mean, libm::sqrt(variance / n))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three kinds of points, each with two coordinates of its own and some noise in common ones.
    fn points(n: usize) -> Vec<Point> {
        let mut random = Random::new(7);
        let point = |i: usize| {
            let own = (i % 3) as u16 * 2;
            let mut xs = vec![(own, 1.0 + random.unit()), (own + 1, random.unit()), (6, random.unit())];
            xs.push((7, random.unit()));
            Point::new(xs)
        };
        (0..n).map(point).collect()
    }

    #[test]
    fn three_kinds_are_three_labels_and_the_silhouette_says_so() {
        let points = points(60);
        let by_k: Vec<f64> = (2..8).map(|k| silhouette(&points, &k_means(&points, 8, k, 1)).0).collect();
        let best = (0..by_k.len()).max_by(|a, b| by_k[*a].total_cmp(&by_k[*b])).map(|i| i + 2);
        assert_eq!(best, Some(3), "{by_k:?}");
        let labels = k_means(&points, 8, 3, 1);
        assert!(
            (0..60).all(|i| labels[i] == labels[i % 3]) && labels[0] != labels[1] && labels[1] != labels[2]
        );
        assert_eq!(labels, k_means(&points, 8, 3, 1));
    }

    #[test]
    fn points_that_are_all_alike_and_more_means_than_points_are_no_trouble() {
        let alike = vec![Point::new(vec![(0, 2.0)]); 5];
        let labels = k_means(&alike, 1, 8, 3);
        assert!(labels.len() == 5 && silhouette(&alike, &labels).0.abs() < 1e-12);
        assert!(k_means(&alike[..1], 1, 2, 3).len() == 1);
    }
}
