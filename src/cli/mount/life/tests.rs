use std::sync::mpsc::channel;

use parking_lot::Mutex;

use super::*;
use crate::control::Progress;

/// A file system with so many dirty files, of which some may refuse to be written.
#[derive(Default)]
struct Double {
    dirty: Mutex<u64>,
    stuck: Mutex<bool>,
    resumed: Mutex<u32>,
}

impl Served for Double {
    fn handle(&self, _: Request, _: &mut dyn FnMut(Event)) -> Reply {
        Reply::done()
    }

    fn flush(&self, _: Option<&WirePath>, events: &mut dyn FnMut(Event)) -> Result<Counts, Vec<FileError>> {
        if *self.stuck.lock() {
            return Err(vec![FileError { path: "a.tif".into(), cause: "no space".into(), ..FileError::default() }]);
        }
        let files = std::mem::take(&mut *self.dirty.lock());
        events(Event::Progress(Progress { done_files: files, total_files: files, ..Progress::default() }));
        Ok(Counts { files, ..Counts::default() })
    }

    fn resume(&self) {
        *self.resumed.lock() += 1;
    }

    fn wait(&self) {}
}

fn busy() -> io::Error {
    io::Error::from_raw_os_error(libc::EBUSY)
}

/// A request as the control socket makes it, and what will be told of it.
fn asked(lazy: bool) -> (Ending, Receiver<Told>) {
    let (tell, told) = sync_channel(64);
    (Ending::Unmount(Asked { plain: None, lazy, tell }), told)
}

fn reply(told: &Receiver<Told>) -> Reply {
    loop {
        if let Told::Reply(reply) = told.recv().unwrap() {
            return reply;
        }
    }
}

#[test]
fn unmount_flushes_before_and_after_the_mount_is_gone() {
    let served = Double { dirty: Mutex::new(3), ..Double::default() };
    let (tx, endings) = channel();
    let (ending, told) = asked(false);
    tx.send(ending).unwrap();
    // What is written between the first flush and the end of the mount.
    let detach = |lazy: bool| {
        assert!(!lazy);
        *served.dirty.lock() += 2;
        tx.send(Ending::Gone).unwrap();
        Ok(())
    };
    let end = run(&served, &endings, &detach);
    assert!(end.gone && end.left.is_empty());
    end.tell(Vec::new());
    assert_eq!(reply(&told), Reply::Done(Outcome::Moved(Counts { files: 5, ..Counts::default() })));
}

#[test]
fn a_file_that_cannot_be_written_is_named_and_the_mount_stays() {
    let served = Double { stuck: Mutex::new(true), ..Double::default() };
    let (tx, endings) = channel();
    let (ending, told) = asked(false);
    tx.send(ending).unwrap();
    tx.send(Ending::Signal).unwrap();
    tx.send(Ending::Gone).unwrap();
    let end = run(&served, &endings, &|_| panic!("the mount must stay"));
    assert!(matches!(reply(&told), Reply::Failed { errors, .. } if errors[0].cause == "no space"));
    assert_eq!(*served.resumed.lock(), 2, "after the request and after the signal");
    // The bare umount that came last could not be refused: what is left is reported.
    assert_eq!(end.left.len(), 1);
}

#[test]
fn a_mount_in_use_stays_unless_it_is_to_be_lazy() {
    let served = Double::default();
    let (tx, endings) = channel();
    let (strict, told_strict) = asked(false);
    let (lazy, told_lazy) = asked(true);
    tx.send(strict).unwrap();
    tx.send(lazy).unwrap();
    let detach = |lazy: bool| {
        if !lazy {
            return Err(busy());
        }
        tx.send(Ending::Gone).unwrap();
        Ok(())
    };
    let end = run(&served, &endings, &detach);
    assert_eq!(reply(&told_strict), Reply::Busy);
    assert_eq!(*served.resumed.lock(), 1);
    end.tell(Vec::new());
    assert!(matches!(reply(&told_lazy), Reply::Done(_)));
}

#[test]
fn a_signal_takes_a_mount_in_use_out_of_sight_and_a_second_one_ends_the_wait() {
    let served = Double { dirty: Mutex::new(1), ..Double::default() };
    let (tx, endings) = channel();
    tx.send(Ending::Signal).unwrap();
    let detach = |lazy: bool| {
        if !lazy {
            return Err(busy());
        }
        *served.dirty.lock() += 1;
        tx.send(Ending::Signal).unwrap();
        Ok(())
    };
    let end = run(&served, &endings, &detach);
    assert!(!end.gone);
    assert_eq!((end.counts.files, end.left.len()), (2, 0));
}

#[test]
fn trouble_in_putting_things_away_fails_the_unmount() {
    let (ending, told) = asked(false);
    let Ending::Unmount(asked) = ending else { unreachable!() };
    End { asked: Some(asked), ..End::default() }.tell(vec![FileError::general("the tmpfs is not empty")]);
    assert!(matches!(reply(&told), Reply::Failed { errors, .. } if errors.len() == 1));
}

#[test]
fn the_service_answers_until_it_is_closed() {
    let (tx, endings) = sync_channel(4);
    let service = ControlService::new(Arc::new(Double::default()), tx, "/m".into());
    assert_eq!(service.handle(Request::Status, &mut |_| {}), Reply::done());
    service.close();
    let ended = |reply| matches!(reply, Reply::Failed { errors, .. } if errors[0].cause.contains("/m has ended"));
    assert!(ended(service.handle(Request::Status, &mut |_| {})));
    drop(endings);
    assert!(ended(service.handle(Request::Unmount { plain: None, lazy: false }, &mut |_| {})));
}
