use crate::launch::channel::Channel;use std::os::fd::OwnedFd;use crate::launch::message::*;
pub struct ClientLink{pub control:Channel,pub data:Option<OwnedFd>}
pub struct End{pub status:u8}
pub fn run(l:ClientLink)->End{loop{match l.control.recv::<ToClient>(){Ok(Some((ToClient::Ended{status},_)))=>return End{status},Ok(Some(_))=>{},_=>return End{status:137}}}}
