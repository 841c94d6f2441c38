//! The kernel's block: whatever the strings are, they come out as they went in.

#[path = "../../src/rt/env.rs"]
mod env;

use std::ffi::{CStr, CString};

pub fn check(bytes: &[u8]) {
    let Some((&argc, rest)) = bytes.split_first() else { return };
    let strings: Vec<CString> =
        rest.split(|&byte| byte == 0).map(|text| CString::new(text).unwrap()).collect();
    let (args, vars) = strings.split_at(usize::from(argc).min(strings.len()));
    let mut block = vec![args.len()];
    for list in [args, vars] {
        block.extend(list.iter().map(|text| text.as_ptr().expose_provenance()));
        block.push(0);
    }
    block.extend([6, 4096, 0, 0]); // AT_PAGESZ, AT_NULL
    // SAFETY: as the kernel lays it out; block and strings outlive it.
    let env = unsafe { env::Env::new(block.as_ptr()) };
    assert!(env.args().eq(args.iter().map(|text| text.as_c_str())));
    assert!(env.vars().eq(vars.iter().map(|text| text.as_c_str())));
    assert_eq!((env.args().len(), env.aux(6), env.aux(7)), (args.len(), Some(4096), None));
    for var in vars {
        let var = var.to_bytes();
        let Some(at) = var.iter().position(|&byte| byte == b'=').filter(|&at| at > 0) else { continue };
        let name = CString::new(&var[..at]).unwrap();
        // The first of that name.
        let first = vars.iter().find_map(|var| var.to_bytes_with_nul().strip_prefix(&var_name(&name)[..]));
        assert_eq!(env.var(&name).map(CStr::to_bytes_with_nul), first);
    }
}

fn var_name(name: &CStr) -> Vec<u8> {
    [name.to_bytes(), b"="].concat()
}
