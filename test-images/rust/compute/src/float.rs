//! Double-precision arithmetic with divisions and roots: bodies that attract one another.

const STEPS: u32 = 5_000_000;
const STEP: f64 = 0.001;
const BODIES: usize = 5;

#[derive(Clone, Copy)]
struct Body {
    place: [f64; 3],
    speed: [f64; 3],
    mass: f64,
}

pub fn run() -> f64 {
    let mut bodies = std::array::from_fn(body);
    let before = energy(&bodies);
    for _ in 0..STEPS {
        attract(&mut bodies);
        for body in &mut bodies {
            for (place, speed) in body.place.iter_mut().zip(body.speed) {
                *place += speed * STEP;
            }
        }
    }
    let after = energy(&bodies);
    assert!((after / before - 1.0).abs() < 0.01, "energy went from {before} to {after}");
    after
}

/// A heavy one in the middle, the others on circles around it.
fn body(number: usize) -> Body {
    let radius = number as f64 * 4.0;
    let (mass, speed) = if number == 0 { (40.0, 0.0) } else { (0.001, (40.0 / radius).sqrt()) };
    Body { place: [radius, 0.0, 0.0], speed: [0.0, speed, 0.01 * speed], mass }
}

fn distance(a: &Body, b: &Body) -> ([f64; 3], f64) {
    let way: [f64; 3] = std::array::from_fn(|i| a.place[i] - b.place[i]);
    (way, way.iter().map(|part| part * part).sum())
}

fn attract(bodies: &mut [Body; BODIES]) {
    for one in 0..BODIES {
        for other in one + 1..BODIES {
            let (way, square) = distance(&bodies[one], &bodies[other]);
            let pull = STEP / (square * square.sqrt());
            let (mass, other_mass) = (bodies[one].mass, bodies[other].mass);
            for i in 0..3 {
                bodies[one].speed[i] -= way[i] * other_mass * pull;
                bodies[other].speed[i] += way[i] * mass * pull;
            }
        }
    }
}

fn energy(bodies: &[Body; BODIES]) -> f64 {
    let moving: f64 =
        bodies.iter().map(|body| body.mass * body.speed.iter().map(|part| part * part).sum::<f64>() / 2.0).sum();
    let pairs = (0..BODIES).flat_map(|one| (one + 1..BODIES).map(move |other| (one, other)));
    let bound: f64 = pairs
        .map(|(one, other)| bodies[one].mass * bodies[other].mass / distance(&bodies[one], &bodies[other]).1.sqrt())
        .sum();
    moving - bound
}
