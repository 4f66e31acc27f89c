//! The names of images that wait to be looked at: in order, none twice, and not without end.

use std::collections::VecDeque;

/// A node that pulls more images than this at once has other cares than warm starts.
const MOST: usize = 256;

#[derive(Debug, Default)]
pub struct Queue(VecDeque<String>);

impl Queue {
    /// Adds a name, unless it waits already. Answers the name that has to go for it, the one that waited longest.
    pub fn push(&mut self, name: String) -> Option<String> {
        if self.0.contains(&name) {
            return None;
        }
        self.0.push_back(name);
        if self.0.len() > MOST { self.0.pop_front() } else { None }
    }

    /// The one that waited longest.
    pub fn pop(&mut self) -> Option<String> {
        self.0.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_wait_in_order_and_once() {
        let mut queue = Queue::default();
        for name in ["a", "b", "a"] {
            assert_eq!(queue.push(name.to_owned()), None);
        }
        assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some("a".into()), Some("b".into()), None]);
        assert_eq!(queue.push("a".to_owned()), None, "it may come again");
    }

    #[test]
    fn of_too_many_the_oldest_goes() {
        let mut queue = Queue::default();
        for number in 0..MOST {
            assert_eq!(queue.push(number.to_string()), None);
        }
        assert_eq!(queue.push("one more".to_owned()).as_deref(), Some("0"));
        assert_eq!(queue.pop().as_deref(), Some("1"));
    }
}
