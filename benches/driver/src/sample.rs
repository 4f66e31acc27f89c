//! Samples and how they are taken: round robin, so that what disturbs the machine disturbs every peer alike.

use anyhow::{Context, Result};

/// Measured values of one thing, in one unit.
#[derive(Debug, Clone, Default)]
pub struct Sample(Vec<f64>);

impl Sample {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The newest `count` values: what was noted in rounds that do not count goes.
    pub fn newest(mut self, count: usize) -> Sample {
        self.0.drain(..self.0.len().saturating_sub(count));
        self
    }

    /// The value below which `part` (0 to 1) of the sample lies; NaN of an empty sample.
    pub fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1) as f64;
        let place = part * last;
        let at = |place: f64| sorted.get(place as usize).copied().unwrap_or(f64::NAN);
        let (low, high) = (at(place.floor()), at(place.ceil()));
        low + (high - low) * (place - place.floor())
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}

/// NaN of no values.
pub fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// One measurement; the argument is different at every call and fit for a container's id.
pub type Measurement<'a> = Box<dyn FnMut(&str) -> Result<f64> + 'a>;

/// Something to measure again and again.
pub struct Case<'a> {
    /// Its name in metrics.
    pub name: String,
    pub run: Measurement<'a>,
}

/// Rounds that do not count: caches fill in them.
const WARM_UP: usize = 2;

/// Measures every case `runs` times, one after the other in each round, each round beginning with another case.
pub fn interleaved(
    what: &str,
    runs: usize,
    warm_up: bool,
    cases: &mut [Case<'_>],
) -> Result<Vec<(String, Sample)>> {
    let mut samples: Vec<_> = cases.iter().map(|case| (case.name.clone(), Sample::default())).collect();
    let skipped = if warm_up { WARM_UP } else { 0 };
    eprintln!("==> {what}: {} cases, {runs} rounds", cases.len());
    for round in 0..skipped + runs {
        for place in 0..cases.len() {
            let index = (place + round) % cases.len();
            let (Some(case), Some((_, sample))) = (cases.get_mut(index), samples.get_mut(index)) else {
                continue;
            };
            let id = format!("{}-{what}-{round}", case.name.replace('_', "-"));
            let value = (case.run)(&id).with_context(|| format!("{what} of {}, round {round}", case.name))?;
            if round >= skipped {
                sample.push(value);
            }
        }
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::Sample;

    #[test]
    fn the_median_of_an_even_sample_lies_between_its_middle_values() {
        assert_eq!(Sample(vec![4.0, 1.0, 3.0, 2.0]).median(), 2.5);
    }

    #[test]
    fn the_newest_values_are_the_last_ones() {
        assert_eq!(Sample(vec![9.0, 1.0, 3.0]).newest(2).0, [1.0, 3.0]);
        assert_eq!(Sample(vec![9.0]).newest(2).0, [9.0]);
    }

    #[test]
    fn quantiles_reach_from_the_least_to_the_greatest_value() {
        let sample = Sample(vec![3.0, 1.0, 2.0]);
        assert_eq!((sample.quantile(0.0), sample.quantile(1.0)), (1.0, 3.0));
    }

    #[test]
    fn every_round_measures_every_case() {
        let mut order = Vec::new();
        let log = std::cell::RefCell::new(&mut order);
        let case = |name: &'static str| super::Case {
            name: name.into(),
            run: Box::new({
                let log = &log;
                move |_: &str| {
                    log.borrow_mut().push(name);
                    Ok(1.0)
                }
            }),
        };
        let samples = super::interleaved("test", 2, false, &mut [case("a"), case("b")]).unwrap();
        assert_eq!(samples.iter().map(|(_, sample)| sample.len()).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(order, ["a", "b", "b", "a"]);
    }
}
