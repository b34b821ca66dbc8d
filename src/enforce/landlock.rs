pub fn apply(_:&[crate::plan::LandlockRule])->Result<crate::outcome::Evidence,super::StepError>{Ok(crate::outcome::Evidence::absent(crate::outcome::Layer::Landlock,"stub"))}
