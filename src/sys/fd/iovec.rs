//! Slices in the kernel's layout, for calls that gather from or scatter to several of them.

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::slice;

use linux_raw_sys::general as raw;
use static_assertions::{assert_eq_align, assert_eq_size, assert_impl_all};

/// A `&[u8]` laid out as `struct iovec`, as `std::io::IoSlice`.
#[repr(transparent)]
#[derive(Clone, Copy)]
#[doc(alias = "iovec")]
pub struct IoSlice<'a> {
    vec: raw::iovec,
    bytes: PhantomData<&'a [u8]>,
}

/// A `&mut [u8]` laid out as `struct iovec`, as `std::io::IoSliceMut`.
#[repr(transparent)]
#[doc(alias = "iovec")]
pub struct IoSliceMut<'a> {
    vec: raw::iovec,
    bytes: PhantomData<&'a mut [u8]>,
}

assert_eq_size!(IoSlice<'_>, raw::iovec);
assert_eq_align!(IoSlice<'_>, raw::iovec);
assert_eq_size!(IoSliceMut<'_>, raw::iovec);
assert_eq_align!(IoSliceMut<'_>, raw::iovec);

// SAFETY: it is a `&[u8]` in another layout.
unsafe impl Send for IoSlice<'_> {}
// SAFETY: as above.
unsafe impl Sync for IoSlice<'_> {}
// SAFETY: it is a `&mut [u8]` in another layout.
unsafe impl Send for IoSliceMut<'_> {}
// SAFETY: as above.
unsafe impl Sync for IoSliceMut<'_> {}
assert_impl_all!(IoSlice<'_>: Send, Sync, Copy);
assert_impl_all!(IoSliceMut<'_>: Send, Sync);

impl<'a> IoSlice<'a> {
    /// The bytes of `buf`, to be read by the kernel.
    #[inline]
    pub const fn new(buf: &'a [u8]) -> IoSlice<'a> {
        let vec = raw::iovec { iov_base: buf.as_ptr().cast_mut().cast(), iov_len: buf.len() as u64 };
        IoSlice { vec, bytes: PhantomData }
    }
}

impl Deref for IoSlice<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: pointer and length are those of the slice given to `new`, still borrowed.
        unsafe { slice::from_raw_parts(self.vec.iov_base.cast(), self.vec.iov_len as usize) }
    }
}

impl<'a> IoSliceMut<'a> {
    /// The bytes of `buf`, to be written by the kernel.
    #[inline]
    pub const fn new(buf: &'a mut [u8]) -> IoSliceMut<'a> {
        let vec = raw::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() as u64 };
        IoSliceMut { vec, bytes: PhantomData }
    }
}

impl Deref for IoSliceMut<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: pointer and length are those of the slice given to `new`, still borrowed.
        unsafe { slice::from_raw_parts(self.vec.iov_base.cast(), self.vec.iov_len as usize) }
    }
}

impl DerefMut for IoSliceMut<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; the borrow was a mutable one.
        unsafe { slice::from_raw_parts_mut(self.vec.iov_base.cast(), self.vec.iov_len as usize) }
    }
}
