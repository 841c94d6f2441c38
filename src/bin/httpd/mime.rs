//! Content types by the extension of the name.

/// What is not listed: the browser offers to save it.
const UNKNOWN: &str = "application/octet-stream";

/// Sorted by extension, in lower case. Text says that it is UTF-8, or browsers guess.
const TYPES: [(&[u8], &str); 46] = [
    (b"7z", "application/x-7z-compressed"),
    (b"aac", "audio/aac"),
    (b"avif", "image/avif"),
    (b"bmp", "image/bmp"),
    (b"bz2", "application/x-bzip2"),
    (b"c", "text/plain; charset=utf-8"),
    (b"css", "text/css; charset=utf-8"),
    (b"csv", "text/csv; charset=utf-8"),
    (b"flac", "audio/flac"),
    (b"gif", "image/gif"),
    (b"gz", "application/gzip"),
    (b"h", "text/plain; charset=utf-8"),
    (b"htm", "text/html; charset=utf-8"),
    (b"html", "text/html; charset=utf-8"),
    (b"ico", "image/x-icon"),
    (b"jpeg", "image/jpeg"),
    (b"jpg", "image/jpeg"),
    (b"js", "text/javascript; charset=utf-8"),
    (b"json", "application/json"),
    (b"log", "text/plain; charset=utf-8"),
    (b"map", "application/json"),
    (b"md", "text/markdown; charset=utf-8"),
    (b"mjs", "text/javascript; charset=utf-8"),
    (b"mp3", "audio/mpeg"),
    (b"mp4", "video/mp4"),
    (b"ogg", "audio/ogg"),
    (b"otf", "font/otf"),
    (b"pdf", "application/pdf"),
    (b"png", "image/png"),
    (b"py", "text/plain; charset=utf-8"),
    (b"rs", "text/plain; charset=utf-8"),
    (b"sh", "text/plain; charset=utf-8"),
    (b"svg", "image/svg+xml"),
    (b"tar", "application/x-tar"),
    (b"toml", "text/plain; charset=utf-8"),
    (b"ttf", "font/ttf"),
    (b"txt", "text/plain; charset=utf-8"),
    (b"wasm", "application/wasm"),
    (b"wav", "audio/wav"),
    (b"webm", "video/webm"),
    (b"webp", "image/webp"),
    (b"woff", "font/woff"),
    (b"woff2", "font/woff2"),
    (b"xml", "text/xml; charset=utf-8"),
    (b"xz", "application/x-xz"),
    (b"zip", "application/zip"),
];

/// Bytes of the longest extension in the table.
const LONGEST: usize = 5;

/// The content type of the file at `path`, by what follows the last dot of its name.
pub fn content_type(path: &[u8]) -> &'static str {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else { return UNKNOWN };
    let mut lower = [0; LONGEST];
    let Some(extension) = lower.get_mut(..name.len() - dot - 1) else { return UNKNOWN };
    extension.copy_from_slice(&name[dot + 1..]);
    extension.make_ascii_lowercase();
    TYPES.binary_search_by_key(&&*extension, |entry| entry.0).map_or(UNKNOWN, |found| TYPES[found].1)
}
