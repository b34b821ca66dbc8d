//! The program: everything is in the library.

#[global_allocator]
static HEAP: agentbox::sys::heap::Heap = agentbox::sys::heap::Heap::new();

fn main() -> std::process::ExitCode {
    agentbox::main()
}
