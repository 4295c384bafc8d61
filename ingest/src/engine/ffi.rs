//! chDB's C interface: the one module that holds foreign calls.
//!
//! What the library promises (its `chdb.h`), and how it is kept here:
//! - a connection runs one statement at a time: [`Connection`] is not `Send`, its methods take `&mut self`, and an open
//!   [`Insert`] borrows it;
//! - every result and every insert is destroyed exactly once, also after errors: [`Reply`] and [`Insert`] do so when
//!   they are dropped, and neither outlives its connection's use;
//! - buffers belong to the result: they are copied before it is destroyed;
//! - statements and formats are passed with their length, so they may hold any byte;
//! - data of an insert goes through `chdb_stream_append`: **inline binary data in `chdb_query_n` is silently cut**.
#![expect(unsafe_code, reason = "the engine has a C interface; every call into it stands in this file")]

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use libloading::Library;

use super::exception::Exception;

type Handle = *mut c_void;
type Text = *const c_char;

/// The functions we use. Their library stays loaded until the process ends.
#[derive(Debug)]
pub(super) struct Api {
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut Handle,
    close: unsafe extern "C" fn(*mut Handle),
    query: unsafe extern "C" fn(Handle, Text, usize, Text, usize) -> Handle,
    result_buffer: unsafe extern "C" fn(Handle) -> *const u8,
    result_length: unsafe extern "C" fn(Handle) -> usize,
    result_error: unsafe extern "C" fn(Handle) -> Text,
    result_destroy: unsafe extern "C" fn(Handle),
    insert: unsafe extern "C" fn(Handle, Text, usize, Text, usize) -> Handle,
    insert_append: unsafe extern "C" fn(Handle, *const c_void, usize) -> c_int,
    insert_done: unsafe extern "C" fn(Handle) -> Handle,
    insert_error: unsafe extern "C" fn(Handle) -> Text,
    insert_destroy: unsafe extern "C" fn(Handle),
}

/// Loaded once: the library registers an exit handler, so it must never be unloaded.
static LOADED: Mutex<Option<&'static Api>> = Mutex::new(None);

impl Api {
    /// Loads the library, or returns the one this process has loaded.
    pub(super) fn load(library: &Path) -> Result<&'static Self, libloading::Error> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(api) = *loaded {
            return Ok(api);
        }
        // SAFETY: the file is the engine whose digest was checked when it was fetched; its initialisers set up its
        // own statics and start nothing.
        let library = unsafe { Library::new(library) }?;
        let api = Self::resolve(&library)?;
        // SAFETY: takes a flag; called before the first connection, as it must be.
        unsafe { symbol::<unsafe extern "C" fn(c_int)>(&library, "chdb_set_signal_handlers_enabled")?(0) };
        std::mem::forget(library);
        Ok(loaded.insert(Box::leak(Box::new(api))))
    }

    fn resolve(library: &Library) -> Result<Self, libloading::Error> {
        // SAFETY: the types above are those of `chdb.h` of the pinned version.
        unsafe {
            Ok(Self {
                connect: symbol(library, "chdb_connect")?,
                close: symbol(library, "chdb_close_conn")?,
                query: symbol(library, "chdb_query_n")?,
                result_buffer: symbol(library, "chdb_result_buffer")?,
                result_length: symbol(library, "chdb_result_length")?,
                result_error: symbol(library, "chdb_result_error")?,
                result_destroy: symbol(library, "chdb_destroy_query_result")?,
                insert: symbol(library, "chdb_stream_insert_n")?,
                insert_append: symbol(library, "chdb_stream_append")?,
                insert_done: symbol(library, "chdb_stream_done")?,
                insert_error: symbol(library, "chdb_stream_insert_error")?,
                insert_destroy: symbol(library, "chdb_destroy_insert_stream")?,
            })
        }
    }
}

/// # Safety
/// `T` must be the type of the function called `name`.
unsafe fn symbol<T: Copy>(library: &Library, name: &str) -> Result<T, libloading::Error> {
    // SAFETY: the caller's promise.
    unsafe { library.get::<T>(name) }.map(|found| *found)
}

/// A connection; several may be open on one folder, each with a thread of its own.
#[derive(Debug)]
pub(super) struct Connection {
    api: &'static Api,
    handle: NonNull<Handle>,
}

impl Connection {
    /// Opens the folder; the first connection of a process starts the engine on it. None if the engine refuses, which
    /// it explains on standard error.
    pub(super) fn open(api: &'static Api, path: &Path, options: &[String]) -> Option<Self> {
        let path = [OsStr::new("--path=").as_bytes(), path.as_os_str().as_bytes()].concat();
        let options = options.iter().map(|option| option.as_bytes().to_vec());
        let arguments = [b"tocsin".to_vec(), path].into_iter().chain(options).map(CString::new);
        let arguments: Vec<CString> = arguments.collect::<Result<_, _>>().ok()?;
        let mut pointers: Vec<*mut c_char> = arguments.iter().map(|a| a.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `pointers` points to as many C strings as it says, which live until after the call and are not written.
        let handle = unsafe { (api.connect)(count, pointers.as_mut_ptr()) };
        NonNull::new(handle).map(|handle| Self { api, handle })
    }

    /// Runs a statement and returns its answer in `format`, where the statement names no other.
    pub(super) fn query(&mut self, sql: &str, format: &str) -> Result<Vec<u8>, Exception> {
        // SAFETY: an open connection; texts with their lengths, which are copied.
        let result =
            unsafe { (self.api.query)(self.raw(), text(sql), sql.len(), text(format), format.len()) };
        Reply { api: self.api, result }.read()
    }

    /// Begins an insert; the data follows in `format`.
    pub(super) fn insert(&mut self, sql: &str, format: &str) -> Result<Insert<'_>, Exception> {
        // SAFETY: as in `query`.
        let stream =
            unsafe { (self.api.insert)(self.raw(), text(sql), sql.len(), text(format), format.len()) };
        let insert = Insert { api: self.api, stream, connection: PhantomData };
        match insert.error() {
            None => Ok(insert),
            Some(error) => Err(error),
        }
    }

    fn raw(&self) -> Handle {
        // SAFETY: `chdb_connect` returned a pointer to the handle, valid until `chdb_close_conn`.
        unsafe { *self.handle.as_ptr() }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: opened by `chdb_connect` and closed only here.
        unsafe { (self.api.close)(self.handle.as_ptr()) }
    }
}

/// An insert under way. Dropped before [`Insert::finish`], it is cancelled.
#[derive(Debug)]
pub(super) struct Insert<'c> {
    api: &'static Api,
    stream: Handle,
    connection: PhantomData<&'c mut Connection>,
}

impl Insert<'_> {
    /// Gives the engine some bytes of the data, cut anywhere; waits while it is busy with earlier ones.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Exception> {
        // SAFETY: an open stream; the bytes are copied.
        let state = unsafe { (self.api.insert_append)(self.stream, bytes.as_ptr().cast(), bytes.len()) };
        if state == 0 {
            Ok(())
        } else {
            Err(self.error().unwrap_or_else(|| Exception::read("the insert ended early")))
        }
    }

    /// Ends the data and stores it. Stored durably, in all views, once this returns.
    pub(super) fn finish(self) -> Result<(), Exception> {
        // SAFETY: an open stream; it is destroyed when `self` is dropped.
        let result = unsafe { (self.api.insert_done)(self.stream) };
        Reply { api: self.api, result }.read().map(|_| ())
    }

    fn error(&self) -> Option<Exception> {
        // SAFETY: a stream that is not destroyed; its text lives as long and is copied.
        unsafe { message((self.api.insert_error)(self.stream)) }
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        // SAFETY: begun by `chdb_stream_insert_n` and destroyed only here; cancels what was not finished.
        unsafe { (self.api.insert_destroy)(self.stream) }
    }
}

/// A result, to be destroyed.
struct Reply {
    api: &'static Api,
    result: Handle,
}

impl Reply {
    fn read(&self) -> Result<Vec<u8>, Exception> {
        if self.result.is_null() {
            return Err(Exception::read("the engine gave no result"));
        }
        // SAFETY: a result that is not destroyed; error text and buffer live as long and are copied.
        unsafe {
            if let Some(error) = message((self.api.result_error)(self.result)) {
                return Err(error);
            }
            let (buffer, length) =
                ((self.api.result_buffer)(self.result), (self.api.result_length)(self.result));
            let empty = buffer.is_null() || length == 0;
            Ok(if empty { Vec::new() } else { std::slice::from_raw_parts(buffer, length).to_vec() })
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // SAFETY: given by the engine and destroyed only here; null is allowed.
        unsafe { (self.api.result_destroy)(self.result) }
    }
}

/// # Safety
/// `text` must be null or a C string.
unsafe fn message(text: Text) -> Option<Exception> {
    // SAFETY: the caller's promise.
    let text = (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })?;
    Some(Exception::read(text.to_string_lossy()))
}

fn text(text: &str) -> Text {
    text.as_ptr().cast()
}
