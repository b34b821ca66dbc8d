use crate::plan::*;use crate::record::Event;use std::os::fd::*;
pub struct StateSync(OwnedFd);
impl StateSync{pub fn new(_:&[StateFile],h:OwnedFd)->Result<Self,String>{Ok(Self(h))} pub fn pollfd(&self)->BorrowedFd<'_>{self.0.as_fd()} pub fn on_ready(&mut self,_:bool)->Vec<Event>{vec![]} pub fn deadline(&self)->Option<std::time::Instant>{None} pub fn finish(self)->Vec<Event>{vec![]}}
pub fn initial(_:&[StateFile])->Result<Vec<(OsText,Vec<u8>)>,String>{Ok(vec![])}
