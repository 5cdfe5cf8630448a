//! Panics become errors of the statement in which they happen.

use crate::error::{Error, Result};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// How many [`guarded`] calls this thread is in.
    static GUARDED: Cell<usize> = const { Cell::new(0) };
}

/// What `work` gives; a panic in it becomes an internal error. Nothing that a panic may have left half done is used after it.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(internal(&*panic)))
}

/// As [`caught`], for a library that reads bytes of a file and may panic if they are not what it expects: that is an error of
/// the file.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    GUARDED.set(GUARDED.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(GUARDED.get() - 1);
    result.unwrap_or_else(|panic| Err(Error::bad_file(format!("the bytes are corrupt: {}", message(&*panic)))))
}

/// Lets the process say nothing about panics that [`guarded`] turns into errors.
pub fn hide_guarded_panics() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if GUARDED.get() == 0 {
            others(panic);
        }
    }));
}

/// The error of a panic that nobody expected.
pub fn internal(panic: &(dyn Any + Send)) -> Error {
    Error::internal(format!("a worker panicked: {}", message(panic)))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_panic_is_an_error_of_the_file_or_of_ours() {
        let wanted = 7;
        let read = || Ok([1, 2, 3].iter().position(|&x| x == wanted).map(|i| [0; 3][i]));
        assert_eq!(guarded(read).unwrap(), None);
        let error = guarded::<()>(|| panic!("index {wanted}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadFile);
        assert!(error.message().contains("index 7"), "{error}");
        assert_eq!(GUARDED.get(), 0);
        assert_eq!(caught::<()>(|| panic!("x")).unwrap_err().kind(), ErrorKind::Internal);
    }

    #[test]
    fn a_panic_of_one_worker_is_its_error_alone() {
        let caller = std::thread::current().id();
        let panics_in = |of_caller: bool| {
            let work = || match (std::thread::current().id() == caller) == of_caller {
                true => panic!("in a worker"),
                false => Ok(()),
            };
            crate::runtime::on_workers(3, work)
        };
        for (of_caller, expected) in [(true, 1), (false, 2)] {
            let results = panics_in(of_caller);
            let errors: Vec<Error> = results.into_iter().filter_map(Result::err).collect();
            assert_eq!(errors.len(), expected);
            for error in errors {
                assert_eq!(error.kind(), ErrorKind::Internal);
                assert!(error.message().contains("in a worker"), "{error}");
            }
        }
    }
}
