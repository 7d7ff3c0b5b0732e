//! Lines in the process's memory. Each step costs the logarithm of the line's length.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

use super::{Figures, Place, QueueError, Rules};

/// Events that have a line at the same time; each takes room for as many people as a line may have.
const EVENTS_LIMIT: usize = 1000;

/// Every event's line; one that is empty is none.
#[derive(Debug, Default)]
pub(super) struct MemoryQueue {
    lines: Mutex<HashMap<Uuid, Line>>,
}

/// A line. A person has a slot, by number in the order of joining, and the slots of those who left stay empty until
/// they are more than the others.
#[derive(Debug, Default)]
struct Line {
    slots: Vec<Option<Person>>,
    numbers: HashMap<Arc<str>, usize>,
    taken: Counts,
    /// Who goes when, unless they ask before.
    deadlines: BTreeSet<(Instant, usize)>,
    admitted: u64,
}

#[derive(Debug)]
struct Person {
    user_id: Arc<str>,
    deadline: Instant,
    admitted: bool,
}

/// How many of the slots before each one are taken: a Fenwick tree.
#[derive(Debug, Default)]
struct Counts(Vec<u64>);

// === impl MemoryQueue ===

impl MemoryQueue {
    pub(super) fn join(&self, event_id: Uuid, user_id: &str, rules: &Rules) -> Result<Place, QueueError> {
        let (now, mut lines) = (Instant::now(), self.lines());
        if !lines.contains_key(&event_id) && lines.len() >= EVENTS_LIMIT {
            lines.retain(|_, line| {
                line.drop_late(now);
                !line.numbers.is_empty()
            });
            if lines.len() >= EVENTS_LIMIT {
                return Err(QueueError::Full);
            }
        }
        lines.entry(event_id).or_default().join(user_id, rules, now)
    }

    pub(super) fn leave(&self, event_id: Uuid, user_id: &str) {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(&event_id) else { return };
        line.drop_late(Instant::now());
        if let Some(&number) = line.numbers.get(user_id) {
            line.remove(number);
        }
        if line.numbers.is_empty() {
            lines.remove(&event_id);
        }
    }

    pub(super) fn figures(&self, event_id: Uuid) -> Figures {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(&event_id) else { return Figures::default() };
        line.drop_late(Instant::now());
        let figures = Figures { size: line.size(), admitted: line.admitted };
        if line.numbers.is_empty() {
            lines.remove(&event_id);
        }
        figures
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Uuid, Line>> {
        // A panic between two steps would leave a line that is off by one person, which is no reason to close it.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Line ===

impl Line {
    fn join(&mut self, user_id: &str, rules: &Rules, now: Instant) -> Result<Place, QueueError> {
        self.drop_late(now);
        let before = self.numbers.get(user_id).copied();
        if before.is_none() && self.size() >= u64::from(rules.max_size) {
            return Err(QueueError::Full);
        }
        let number = before.unwrap_or_else(|| self.append(user_id, now));
        let ahead = self.taken.before(number);
        let (admitted, remaining) = self.ask(number, ahead < u64::from(rules.admitted), rules, now);
        Ok(Place { ahead, size: self.size(), admitted, remaining, joined: before.is_none() })
    }

    /// Gives one who asks their turn, or more time to wait for it; a turn that has begun gets no longer.
    fn ask(&mut self, number: usize, in_front: bool, rules: &Rules, now: Instant) -> (bool, Duration) {
        let person = self.slots[number].as_mut().expect("a number is that of a taken slot");
        if !person.admitted {
            let stay = if in_front { rules.turn } else { rules.patience };
            let late = mem::replace(&mut person.deadline, now + stay);
            person.admitted = in_front;
            self.admitted += u64::from(in_front);
            self.deadlines.remove(&(late, number));
            self.deadlines.insert((person.deadline, number));
        }
        (person.admitted, person.deadline.saturating_duration_since(now))
    }

    fn append(&mut self, user_id: &str, now: Instant) -> usize {
        if self.slots.len() >= 2 * self.numbers.len().max(32) {
            self.close_gaps();
        }
        let (number, user_id) = (self.slots.len(), Arc::<str>::from(user_id));
        self.numbers.insert(Arc::clone(&user_id), number);
        self.deadlines.insert((now, number));
        self.slots.push(Some(Person { user_id, deadline: now, admitted: false }));
        self.taken.push();
        number
    }

    fn remove(&mut self, number: usize) {
        let person = self.slots[number].take().expect("a number is that of a taken slot");
        self.numbers.remove(&person.user_id);
        self.deadlines.remove(&(person.deadline, number));
        self.taken.remove(number);
        self.admitted -= u64::from(person.admitted);
    }

    fn drop_late(&mut self, now: Instant) {
        while let Some(&(deadline, number)) = self.deadlines.first()
            && deadline <= now
        {
            self.remove(number);
        }
    }

    /// Numbers the people anew, without those who left.
    fn close_gaps(&mut self) {
        let people: Vec<Person> = mem::take(self).slots.into_iter().flatten().collect();
        for (number, person) in people.into_iter().enumerate() {
            self.numbers.insert(Arc::clone(&person.user_id), number);
            self.deadlines.insert((person.deadline, number));
            self.taken.push();
            self.admitted += u64::from(person.admitted);
            self.slots.push(Some(person));
        }
    }

    fn size(&self) -> u64 {
        self.numbers.len() as u64
    }
}

// === impl Counts ===

impl Counts {
    /// Adds a taken slot at the end. Entry `i`, from 1, counts as many slots up to `i` as its lowest bit says.
    fn push(&mut self) {
        let end = self.0.len() + 1;
        let start = end - lowest_bit(end);
        let count = 1 + self.before(end - 1) - self.before(start);
        self.0.push(count);
    }

    fn remove(&mut self, number: usize) {
        let mut entry = number + 1;
        while let Some(count) = self.0.get_mut(entry - 1) {
            *count -= 1;
            entry += lowest_bit(entry);
        }
    }

    /// Taken slots before slot `number`.
    fn before(&self, number: usize) -> u64 {
        let (mut count, mut entry) = (0, number);
        while entry > 0 {
            count += self.0[entry - 1];
            entry -= lowest_bit(entry);
        }
        count
    }
}

fn lowest_bit(number: usize) -> usize {
    number & number.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;
    use uuid::Uuid;

    use super::{EVENTS_LIMIT, Figures, MemoryQueue, QueueError, Rules};

    const RULES: Rules =
        Rules { max_size: 200, admitted: 2, turn: Duration::from_secs(600), patience: Duration::from_secs(120) };
    const EVENT: Uuid = Uuid::nil();

    /// Position, whether it is their turn, and for how many seconds more.
    fn ask(queue: &MemoryQueue, user_id: &str) -> (u64, bool, u64) {
        let place = queue.join(EVENT, user_id, &RULES).unwrap();
        (place.ahead + 1, place.admitted, place.remaining.as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_ask_loses_the_place_and_who_is_admitted_the_turn() {
        let queue = MemoryQueue::default();
        assert_eq!(ask(&queue, "ada"), (1, true, 600));
        assert_eq!(ask(&queue, "bob"), (2, true, 600));
        assert_eq!(ask(&queue, "cyd"), (3, false, 120));
        assert_eq!(ask(&queue, "dan"), (4, false, 120));
        advance(Duration::from_secs(100)).await;
        assert_eq!(ask(&queue, "dan"), (4, false, 120), "asking again gives new time");
        assert_eq!(ask(&queue, "ada"), (1, true, 500), "but a turn gets no longer");
        advance(Duration::from_secs(20)).await;
        assert_eq!(ask(&queue, "dan"), (3, false, 120), "cyd has not asked");
        for _ in 0..4 {
            advance(Duration::from_secs(110)).await;
            ask(&queue, "dan");
        }
        advance(Duration::from_secs(40)).await;
        assert_eq!(queue.figures(EVENT), Figures { size: 1, admitted: 0 });
        assert_eq!(ask(&queue, "ada"), (2, true, 600), "whose turn is over begins at the end");
        assert_eq!(ask(&queue, "dan"), (1, true, 600));
        advance(Duration::from_secs(600)).await;
        assert_eq!(queue.figures(EVENT), Figures::default());
        assert!(queue.lines().is_empty(), "nothing is left of a line that nobody is in");
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_happens_a_place_is_that_of_a_list() {
        let (queue, mut list, mut random) = (MemoryQueue::default(), Vec::<u64>::new(), fastrand::Rng::with_seed(7));
        for step in 0..20_000 {
            let user = random.u64(..300);
            let (user_id, before) = (user.to_string(), list.iter().position(|other| *other == user));
            if random.u8(..3) == 0 {
                queue.leave(EVENT, &user_id);
                list.retain(|other| *other != user);
            } else if before.is_none() && list.len() == 200 {
                assert!(matches!(queue.join(EVENT, &user_id, &RULES), Err(QueueError::Full)), "step {step}");
            } else {
                let place = queue.join(EVENT, &user_id, &RULES).unwrap();
                if before.is_none() {
                    list.push(user);
                }
                let expected = (before.unwrap_or(list.len() - 1), list.len(), before.is_none());
                assert_eq!((place.ahead as usize, place.size as usize, place.joined), expected, "step {step}");
            }
        }
        let line = &queue.lines()[&EVENT];
        assert!(line.slots.len() <= 2 * list.len().max(32) + 1, "those who left take no room for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn lines_are_not_without_number_and_forgotten_ones_make_room() {
        let queue = MemoryQueue::default();
        let join = |number: usize| queue.join(Uuid::from_u128(number as u128), "ada", &RULES);
        for number in 0..EVENTS_LIMIT {
            join(number).unwrap();
        }
        assert!(matches!(join(EVENTS_LIMIT), Err(QueueError::Full)));
        assert!(!join(7).unwrap().joined);
        advance(RULES.turn).await;
        assert!(join(EVENTS_LIMIT).unwrap().joined);
        assert_eq!(queue.lines().len(), 1);
    }
}
