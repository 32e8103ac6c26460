//! What events make one ask about the process, and what the answer was.

use std::cell::RefCell;

use super::record::{Answers, Descriptor, Named};
use crate::event::blocking::Object;
use crate::model::Around;
use crate::model::blocking::ObjectNames;
use crate::model::gc::Surroundings;
use crate::units::RuntimeAddr;

/// Asks another, and remembers.
pub struct RecordedAnswers<'a> {
    around: &'a dyn Around,
    answers: RefCell<Answers>,
}

impl<'a> RecordedAnswers<'a> {
    /// Nothing was asked yet.
    #[must_use]
    pub fn new(around: &'a dyn Around) -> Self {
        Self { around, answers: RefCell::default() }
    }

    /// What was asked.
    #[must_use]
    pub fn answers(self) -> Answers {
        self.answers.into_inner()
    }
}

impl ObjectNames for RecordedAnswers<'_> {
    fn name(&self, object: &Object, fd: Option<u64>) -> Option<String> {
        let name = self.around.name(object, fd);
        let named = Named { what: Descriptor::of(object, fd), name: name.clone() };
        self.answers.borrow_mut().names.push(named);
        name
    }
}

impl Around for RecordedAnswers<'_> {
    fn surroundings(&self) -> Surroundings {
        *self.answers.borrow_mut().surroundings.get_or_insert_with(|| self.around.surroundings())
    }

    fn is_without_frame(&self, address: RuntimeAddr) -> bool {
        let is_without = self.around.is_without_frame(address);
        if is_without {
            self.answers.borrow_mut().without_frame.push(address);
        }
        is_without
    }
}
