//! The names of images that wait to be looked at: in order, none twice, and not without end. Those that were there before wait for
//! those that come.

use std::collections::VecDeque;

/// A node that pulls more images than this at once has other cares than warm starts.
const MOST: usize = 256;

#[derive(Debug, Default)]
pub struct Queue {
    new: VecDeque<String>,
    /// No more than containerd had in the beginning.
    there: VecDeque<String>,
}

impl Queue {
    /// Notes the images that are there, which give way to all that come.
    pub fn set_behind(&mut self, there: Vec<String>) {
        self.there = there.into();
    }

    /// Adds a name, unless it waits already. Answers the name that has to go for it, the one that waited longest.
    pub fn push(&mut self, name: String) -> Option<String> {
        if self.new.contains(&name) {
            return None;
        }
        self.new.push_back(name);
        if self.new.len() > MOST { self.new.pop_front() } else { None }
    }

    /// The one that waited longest of those that came, else of those that were there.
    pub fn pop(&mut self) -> Option<String> {
        self.new.pop_front().or_else(|| self.there.pop_front())
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
    fn of_those_that_were_there_none_is_lost() {
        let mut queue = Queue::default();
        queue.set_behind((0..2 * MOST).map(|number| number.to_string()).collect());
        for number in 0..MOST {
            assert_eq!(queue.push(format!("new {number}")), None);
        }
        assert_eq!(queue.pop().as_deref(), Some("new 0"), "somebody waits for it soon");
        let names: Vec<String> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!((names.len(), names.last().map(String::as_str)), (3 * MOST - 1, Some("511")));
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
