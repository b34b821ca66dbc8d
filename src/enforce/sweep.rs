pub struct S{pub path:crate::plan::OsText,pub what:String}
pub fn set_id_bits(_:&crate::plan::Plan)->Vec<S>{vec![]}
