//! Lines in the process's memory. Each step costs the logarithm of the line's length.
//!
//! Room is counted in people over all lines, so that a line of one takes the room of one; and nobody is in so many lines
//! that they keep the others out.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;
use uuid::Uuid;

use super::{Figures, Place, QueueError, Rules};

/// Lines that a person may be in at the same time.
pub(super) const LINES_OF_ONE: usize = 10;

/// People whose time is over that one step takes out, as nobody else is served meanwhile.
const LATE_LIMIT: usize = 1000;

/// Every event's line.
#[derive(Debug, Default)]
pub(super) struct MemoryQueue(Mutex<Lines>);

/// All lines, none of them empty.
#[derive(Debug, Default)]
struct Lines {
    lines: HashMap<Uuid, Line>,
    /// The lines that each person is in, and the numbers of their slots there.
    places: HashMap<Arc<str>, Vec<(Uuid, usize)>>,
    /// Who goes when, unless they ask before: everybody in any line.
    deadlines: BTreeSet<(Instant, Uuid, Arc<str>)>,
    /// Whether the log was told that there is no room, and nothing to the contrary happened since.
    told_full: bool,
}

/// A line. A person has a slot, by number in the order of joining, and the slots of those who left stay empty until
/// they are more than the others.
#[derive(Debug, Default)]
struct Line {
    slots: Vec<Option<Person>>,
    taken: Counts,
    size: usize,
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
        lines.drop_late(now, event_id, user_id);
        let before = lines.number(event_id, user_id);
        let number = match before {
            Some(number) => number,
            None => lines.append(event_id, user_id, rules, now)?,
        };
        Ok(Place { joined: before.is_none(), ..lines.ask(event_id, number, rules, now) })
    }

    pub(super) fn leave(&self, event_id: Uuid, user_id: &str) {
        let mut lines = self.lines();
        lines.drop_late(Instant::now(), event_id, user_id);
        lines.remove(event_id, user_id);
    }

    pub(super) fn figures(&self, event_id: Uuid) -> Figures {
        let mut lines = self.lines();
        lines.drop_late(Instant::now(), event_id, "");
        let line = lines.lines.get(&event_id);
        line.map_or_else(Figures::default, |line| Figures { size: line.size as u64, admitted: line.admitted })
    }

    /// Whether one more person could join some line.
    pub(super) fn has_room(&self, rules: &Rules) -> bool {
        let mut lines = self.lines();
        lines.drop_late(Instant::now(), Uuid::nil(), "");
        lines.deadlines.len() < rules.room
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        // A panic between two steps would leave a line that is off by one person, which is no reason to close it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Lines ===

impl Lines {
    /// Takes out those whose time has been over for longest, and for sure the one who asks.
    fn drop_late(&mut self, now: Instant, event_id: Uuid, user_id: &str) {
        for _ in 0..LATE_LIMIT {
            let Some((deadline, event_id, user_id)) = self.deadlines.first() else { break };
            if *deadline > now {
                break;
            }
            let (event_id, user_id) = (*event_id, Arc::clone(user_id));
            self.remove(event_id, &user_id);
        }
        if self.is_late(event_id, user_id, now) {
            self.remove(event_id, user_id);
        }
    }

    fn is_late(&self, event_id: Uuid, user_id: &str, now: Instant) -> bool {
        let person = self.number(event_id, user_id).and_then(|number| self.lines[&event_id].slots[number].as_ref());
        person.is_some_and(|person| person.deadline <= now)
    }

    /// A person's slot in a line.
    fn number(&self, event_id: Uuid, user_id: &str) -> Option<usize> {
        let places = self.places.get(user_id)?;
        places.iter().find(|(id, _)| *id == event_id).map(|(_, number)| *number)
    }

    /// Puts one who is not in a line at its end, where there is room.
    fn append(&mut self, event_id: Uuid, user_id: &str, rules: &Rules, now: Instant) -> Result<usize, QueueError> {
        self.check_room(event_id, user_id, rules, now)?;
        let line = self.lines.entry(event_id).or_default();
        if line.slots.len() >= 2 * line.size.max(32) {
            line.close_gaps(event_id, &mut self.places);
        }
        let (number, user_id) = (line.slots.len(), Arc::<str>::from(user_id));
        line.slots.push(Some(Person { user_id: Arc::clone(&user_id), deadline: now, admitted: false }));
        line.taken.push();
        line.size += 1;
        self.deadlines.insert((now, event_id, Arc::clone(&user_id)));
        self.places.entry(user_id).or_default().push((event_id, number));
        Ok(number)
    }

    fn check_room(&mut self, event_id: Uuid, user_id: &str, rules: &Rules, now: Instant) -> Result<(), QueueError> {
        if self.lines.get(&event_id).is_some_and(|line| line.size >= rules.max_size as usize) {
            return Err(QueueError::Full);
        }
        let others: Vec<Uuid> = self.places.get(user_id).into_iter().flatten().map(|(id, _)| *id).collect();
        if others.len() >= LINES_OF_ONE {
            // They may have been in some of them long ago.
            others.into_iter().for_each(|id| self.drop_late(now, id, user_id));
            if self.places.get(user_id).is_some_and(|places| places.len() >= LINES_OF_ONE) {
                return Err(QueueError::TooManyLines);
            }
        }
        if self.deadlines.len() < rules.room {
            // Told again only when it was not by a hair's breadth that there was room in between.
            self.told_full &= self.deadlines.len() > rules.room / 10 * 9;
            return Ok(());
        }
        if !mem::replace(&mut self.told_full, true) {
            tracing::warn!(
                people = self.deadlines.len(),
                "the queues are full: nobody can join any until some have left"
            );
        }
        Err(QueueError::Full)
    }

    /// Gives one who asks their turn, or more time to wait for it; a turn that has begun gets no longer.
    fn ask(&mut self, event_id: Uuid, number: usize, rules: &Rules, now: Instant) -> Place {
        let line = self.lines.get_mut(&event_id).expect("a number is that of a slot in a line");
        let (ahead, size) = (line.taken.before(number), line.size as u64);
        let person = line.slots[number].as_mut().expect("a number is that of a taken slot");
        if !person.admitted {
            let admitted = ahead < u64::from(rules.admitted);
            let stay = if admitted { rules.turn } else { rules.patience };
            let late = mem::replace(&mut person.deadline, now + stay);
            person.admitted = admitted;
            line.admitted += u64::from(admitted);
            self.deadlines.remove(&(late, event_id, Arc::clone(&person.user_id)));
            self.deadlines.insert((person.deadline, event_id, Arc::clone(&person.user_id)));
        }
        let remaining = person.deadline.saturating_duration_since(now);
        Place { ahead, size, admitted: person.admitted, remaining, joined: false }
    }

    /// Takes somebody out of a line, if they are in it; the last one takes it along.
    fn remove(&mut self, event_id: Uuid, user_id: &str) {
        let Some(number) = self.number(event_id, user_id) else { return };
        let places = self.places.get_mut(user_id).expect("whoever has a slot is in the places");
        places.retain(|(id, _)| *id != event_id);
        if places.is_empty() {
            self.places.remove(user_id);
        }
        let line = self.lines.get_mut(&event_id).expect("a place is one in a line");
        let person = line.slots[number].take().expect("a number is that of a taken slot");
        line.taken.remove(number);
        line.size -= 1;
        line.admitted -= u64::from(person.admitted);
        self.deadlines.remove(&(person.deadline, event_id, person.user_id));
        if line.size == 0 {
            self.lines.remove(&event_id);
        }
    }
}

// === impl Line ===

impl Line {
    /// Numbers the people anew, without those who left.
    fn close_gaps(&mut self, event_id: Uuid, places: &mut HashMap<Arc<str>, Vec<(Uuid, usize)>>) {
        self.slots.retain(Option::is_some);
        self.taken = Counts::default();
        for (number, person) in self.slots.iter().flatten().enumerate() {
            self.taken.push();
            let places = places.get_mut(&person.user_id).into_iter().flatten();
            places.filter(|(id, _)| *id == event_id).for_each(|place| place.1 = number);
        }
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

    use super::{Figures, LATE_LIMIT, LINES_OF_ONE, MemoryQueue, QueueError, Rules};

    const RULES: Rules = Rules {
        max_size: 200,
        room: 5000,
        admitted: 2,
        turn: Duration::from_secs(600),
        patience: Duration::from_secs(120),
    };
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
        let lines = queue.lines();
        assert!(lines.lines.is_empty() && lines.places.is_empty(), "nothing is left of a line that nobody is in");
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
        let line = &queue.lines().lines[&EVENT];
        assert!(line.slots.len() <= 2 * list.len().max(32) + 1, "those who left take no room for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_in_so_many_lines_that_others_find_no_room() {
        let queue = MemoryQueue::default();
        let join = |number: usize, user_id: &str| queue.join(Uuid::from_u128(number as u128), user_id, &RULES);
        for number in 0..LINES_OF_ONE {
            join(number, "eve").unwrap();
        }
        for number in LINES_OF_ONE..2 * RULES.room {
            assert!(matches!(join(number, "eve"), Err(QueueError::TooManyLines)));
        }
        assert!(!join(7, "eve").unwrap().joined, "who is in a line stays in it");
        assert!(join(RULES.room, "ada").unwrap().joined && queue.has_room(&RULES));
        queue.leave(Uuid::from_u128(7), "eve");
        assert!(join(LINES_OF_ONE, "eve").unwrap().joined, "leaving one line lets into another");
        advance(RULES.turn).await;
        for number in LINES_OF_ONE..2 * LINES_OF_ONE {
            assert!(join(number, "eve").unwrap().joined, "and so does being late in all of them");
        }
        assert_eq!(queue.lines().lines.len(), LINES_OF_ONE);
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_for_so_many_people_over_all_lines_and_comes_back_bit_by_bit() {
        let queue = MemoryQueue::default();
        let join = |number: usize| queue.join(Uuid::from_u128(number as u128 / 100), &number.to_string(), &RULES);
        for number in 0..RULES.room {
            assert!(join(number).unwrap().joined, "in lines of a hundred");
        }
        assert!(matches!(join(RULES.room), Err(QueueError::Full)) && !queue.has_room(&RULES));
        assert!(!join(7).unwrap().joined, "who is in a line stays in it");
        advance(RULES.turn).await;
        assert!(join(RULES.room - 1).unwrap().joined, "the one who asks is late for sure");
        assert_eq!(queue.lines().deadlines.len(), RULES.room - LATE_LIMIT, "no step takes long");
        for _ in 0..RULES.room / LATE_LIMIT {
            assert!(queue.has_room(&RULES));
        }
        assert_eq!(queue.lines().deadlines.len(), 1);
    }
}
