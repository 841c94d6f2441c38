// Go: a goroutine for each connection. GOMAXPROCS comes from the environment.
//
// Heads of requests are read by hand, as net/http does much more than the others do.
package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
)

// Bytes of a connection's buffer, and those with idle.
const (
	buffer     = 4096
	idleBuffer = 64
)

var answer = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!")

func main() {
	if len(os.Args) != 3 {
		usage()
	}
	var serve func(net.Conn)
	switch os.Args[1] {
	case "echo":
		serve = func(c net.Conn) { echo(c, buffer) }
	case "http":
		serve = http
	case "idle":
		serve = func(c net.Conn) { echo(c, idleBuffer) }
	default:
		usage()
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		// TCP_NODELAY is set by the package net.
		if c, err := listener.Accept(); err == nil {
			go serve(c)
		}
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: peer-go echo|http|idle PORT")
	os.Exit(2)
}

func echo(c net.Conn, size int) {
	defer c.Close()
	buf := make([]byte, size)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

func http(c net.Conn) {
	defer c.Close()
	buf := make([]byte, buffer)
	out := make([]byte, 0, 8*len(answer))
	filled := 0
	for filled < len(buf) {
		n, err := c.Read(buf[filled:])
		if err != nil {
			return
		}
		filled += n
		out = out[:0]
		used, keep := 0, true
		for keep && used < filled {
			length, kept, ok := head(buf[used:filled])
			if !ok {
				c.Write(out)
				return
			}
			if length == 0 {
				break
			}
			used, keep = used+length, kept
			out = append(out, answer...)
		}
		copy(buf, buf[used:filled])
		filled -= used
		if len(out) > 0 {
			if _, err := c.Write(out); err != nil {
				return
			}
		}
		if !keep {
			return
		}
	}
}

// head returns the length of the request head at the front of p, 0 if it is not whole yet, and whether the
// connection is kept behind it; not ok if it is malformed.
func head(p []byte) (length int, keep, ok bool) {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	whole := end >= 0
	if whole {
		length = end + 4
		p = p[:end]
	}
	line, rest, _ := bytes.Cut(p, []byte("\r\n"))
	method, line, found := bytes.Cut(line, []byte(" "))
	if !all(method, token) || (found && len(method) == 0) {
		return 0, false, false
	}
	if !whole {
		return 0, true, true
	}
	target, version, found := bytes.Cut(line, []byte(" "))
	if !found || len(target) == 0 || !all(target, visible) {
		return 0, false, false
	}
	switch string(version) {
	case "HTTP/1.1":
		keep = true
	case "HTTP/1.0":
	default:
		return 0, false, false
	}
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found || len(name) == 0 || !all(name, token) || !all(value, text) {
			return 0, false, false
		}
		if len(name) == len("connection") && bytes.EqualFold(name, []byte("connection")) &&
			bytes.EqualFold(bytes.TrimSpace(value), []byte("close")) {
			keep = false
		}
	}
	return length, keep, true
}

// What a byte may be part of.
const (
	token = 1 << iota
	visible
	text
)

var class [256]byte

func init() {
	for b := 0x20; b < 256; b++ {
		if b != 0x7f {
			class[b] |= text | visible
		}
	}
	class[' '] &^= visible
	class['\t'] |= text
	for _, b := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		class[b] |= token
	}
}

func all(p []byte, what byte) bool {
	for _, b := range p {
		if class[b]&what == 0 {
			return false
		}
	}
	return true
}
