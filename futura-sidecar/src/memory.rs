//! Gives memory back that only the start needed: every pod pays for it as long as it runs.

use std::{fs, io, path::Path};

use rustix::mm::{Advice, madvise};

/// Has the kernel forget which of the program's own code has run so far. What runs again is mapped anew, from the page cache;
/// what read the configuration and the command line is not.
pub(crate) fn forget_start() -> io::Result<()> {
    let (maps, program) = (fs::read_to_string("/proc/self/maps")?, fs::read_link("/proc/self/exe")?);
    for (start, end) in maps.lines().filter_map(|line| code(line, &program)) {
        let address = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: the range is a mapping of this process, as the kernel has just said, and stays one: nothing unmaps a program's
        // own code. It maps a file without being writable, so nothing was written to it that could get lost, and it cannot have
        // been by another name either, as the kernel lets nobody write to the file of a program that runs. Every page of it
        // reads the same after this as before.
        #[expect(unsafe_code, reason = "the kernel is to be told of memory by its address")]
        unsafe {
            madvise(address, end - start, Advice::LinuxDontNeed)?;
        }
    }
    Ok(())
}

/// The addresses of a mapping of the program's code, as a line of `/proc/self/maps` tells them.
fn code(line: &str, program: &Path) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, permissions) = (fields.next()?, fields.next()?);
    let path = fields.nth(3)?;
    let (start, end) = range.split_once('-')?;
    let range = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    (permissions == "r-xp" && Path::new(path) == program).then_some(range)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{code, forget_start};

    #[test]
    fn code_is_what_is_mapped_from_the_program_to_be_run() {
        let code = |line| code(line, Path::new("/futura-sidecar"));
        assert_eq!(code("7f00-8f00 r-xp 0001 fe:00 77 /futura-sidecar"), Some((0x7f00, 0x8f00)));
        for other in [
            "7f00-8f00 r--p 0001 fe:00 77 /futura-sidecar",
            "7f00-8f00 rwxp 0001 fe:00 77 /futura-sidecar",
            "7f00-8f00 r-xp 0001 fe:00 77 /lib/libc.so.6",
            "7f00-8f00 r-xp 0000 00:00 0 [vdso]",
            "7f00-8f00 r-xp 0000 00:00 0",
            "",
        ] {
            assert_eq!(code(other), None, "{other}");
        }
    }

    #[test]
    fn the_program_goes_on_after_it_has_forgotten() {
        forget_start().expect("a kernel that can");
        assert_eq!(format!("{:?}", (1..4).map(|number| number * number).collect::<Vec<_>>()), "[1, 4, 9]");
    }
}
