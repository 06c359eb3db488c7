use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::super::blosc::{Filter, FilterChoice, encode};
use super::*;

fn bytes(len: usize) -> Arc<Vec<u8>> {
    Arc::new(vec![7; len])
}

#[test]
fn one_walk_through_everything_leaves_what_is_used_again_and_again() {
    let mut queues = Queues::new(1_000);
    let touch = |queues: &mut Queues<u32>, key| {
        if queues.get(&key).is_none() {
            queues.insert(key, bytes(10));
        }
    };
    for round in 1..4 {
        (0..40).for_each(|key| touch(&mut queues, key));
        // Others between, so that the forty leave the fresh queue and come again.
        (round * 1_000..round * 1_000 + 120).for_each(|key| touch(&mut queues, key));
    }
    (0..40).for_each(|key| touch(&mut queues, key));
    (5_000..9_000).for_each(|key| touch(&mut queues, key));
    let there = (0..40).filter(|key| queues.get(key).is_some()).count();
    assert_eq!(there, 40);
}

proptest! {
    #[test]
    fn the_bound_holds_whatever_is_asked(
        steps in prop::collection::vec((0u32..60, 0usize..300, 0u8..12), 1..400),
    ) {
        let mut queues = Queues::new(2_000);
        let mut bound = 2_000;
        for (key, len, what) in steps {
            match what {
                0 => {
                    bound = len * 10;
                    queues.set_bound(bound);
                }
                1 => queues.remove_all(|other| other % 7 == key % 7),
                2..=6 => queues.insert(key, bytes(len)),
                _ => {
                    queues.get(&key);
                }
            }
            prop_assert!(queues.bytes() <= bound);
        }
        queues.set_bound(0);
        queues.remove_all(|_| false);
        prop_assert_eq!(queues.bytes(), 0);
    }
}

/// A frame that counts how often its blocks are read.
struct Counted<'f>(&'f [u8], &'f AtomicUsize);

impl Stored for Counted<'_> {
    fn size(&self) -> std::io::Result<u64> {
        Stored::size(&self.0)
    }

    fn get<'a>(&'a self, at: u64, len: usize, spare: &'a mut Vec<u8>) -> std::io::Result<&'a [u8]> {
        if at > 0 {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
        Stored::get(&self.0, at, len, spare)
    }
}

#[test]
fn a_block_that_many_want_is_decoded_once() {
    let plane: Vec<u8> = (0..200_000u32).map(|at| (at / 100) as u8).collect();
    let stored = encode(&plane, 1, FilterChoice::Always(Filter::None)).unwrap();
    let reads = AtomicUsize::new(0);
    let frame = Frame::open(Counted(&stored.bytes, &reads), plane.len() as u64).unwrap();
    assert_eq!(frame.blocks(), 1);
    reads.store(0, Ordering::Relaxed);
    let cache = Cache::new(1 << 20);
    let chunk = Arc::new(ChunkKey { store: 1, array: RelPath::root(), index: vec![0, 0], generation: 1 });
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let key = BlockKey { chunk: chunk.clone(), block: 0 };
                let block = cache.block(key, &frame, Some(&stored.checks), &mut Scratch::default()).unwrap();
                assert!(*block == plane);
            });
        }
    });
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    assert_eq!(cache.bytes(), plane.len());
    cache.drop_chunks(|key| key.store == 1);
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn a_block_that_failed_is_tried_again_by_the_next() {
    let plane = vec![3; 200_000];
    let mut stored = encode(&plane, 1, FilterChoice::Always(Filter::None)).unwrap();
    stored.checks[0] ^= 1;
    let frame = Frame::open(stored.bytes.as_slice(), plane.len() as u64).unwrap();
    let cache = Cache::new(1 << 20);
    let chunk = Arc::new(ChunkKey { store: 1, array: RelPath::root(), index: vec![0], generation: 1 });
    let block = |checks| {
        cache.block(BlockKey { chunk: chunk.clone(), block: 0 }, &frame, checks, &mut Scratch::default()).map(|_| ())
    };
    assert!(block(Some(&stored.checks)).is_err());
    block(None).expect("the frame itself is sound");
}
