// Command golog checks a tlog-tiles directory with Go's own transparency log packages.
//
// It shares no code with Kubestile, so that a log which passes here is a log that any
// C2SP client can read. Usage: golog DIR VKEY
//
// It opens DIR/checkpoint with the key, hashes every entry in DIR/tile/entries, compares each
// with the leaf in the tiles, compares every stored tile with the tree recomputed from the
// entries, and the recomputed root with the signed one.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height = 8
	width  = 1 << height
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: golog DIR VKEY")
		os.Exit(2)
	}
	tree, err := verify(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL", err)
		os.Exit(1)
	}
	fmt.Printf("OK size=%d root=%s\n", tree.N, tree.Hash)
}

// verify checks the whole log in dir against the checkpoint signed by vkey.
func verify(dir, vkey string) (tlog.Tree, error) {
	tree, err := openCheckpoint(filepath.Join(dir, "checkpoint"), vkey)
	if err != nil {
		return tree, fmt.Errorf("checkpoint: %w", err)
	}
	stored, err := hashEntries(dir, tree.N)
	if err != nil {
		return tree, err
	}
	if err := compareTiles(dir, tree.N, stored); err != nil {
		return tree, err
	}
	root, err := tlog.TreeHash(tree.N, stored)
	if err != nil {
		return tree, err
	}
	if root != tree.Hash {
		return tree, fmt.Errorf("root: entries lead to %s, signed is %s", root, tree.Hash)
	}
	return tree, authenticateLeaves(dir, tree, stored)
}

// openCheckpoint verifies the note and reads the three lines of its text.
func openCheckpoint(path, vkey string) (tree tlog.Tree, err error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tree, err
	}
	msg, err := os.ReadFile(path)
	if err != nil {
		return tree, err
	}
	opened, err := note.Open(msg, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(strings.TrimSuffix(opened.Text, "\n"), "\n")
	if len(lines) < 3 || lines[0] == "" {
		return tree, errors.New("text is not origin, size and root")
	}
	tree.N, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || tree.N < 0 || strconv.FormatInt(tree.N, 10) != lines[1] {
		return tree, fmt.Errorf("size %q", lines[1])
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

// hashEntries recomputes the tree from the bundles and compares each entry with its leaf.
func hashEntries(dir string, size int64) (hashes, error) {
	var stored hashes
	for first := int64(0); first < size; first += width {
		n := min(size-first, width)
		entries, err := readBundle(dir, first/width, int(n))
		if err != nil {
			return nil, fmt.Errorf("index %d: %w", first, err)
		}
		tile := tlog.Tile{H: height, L: 0, N: first / width, W: int(n)}
		leaves, err := readTile(dir, tile)
		if err != nil {
			return nil, fmt.Errorf("index %d: %w", first, err)
		}
		for i, entry := range entries {
			index := first + int64(i)
			leaf, err := tlog.HashFromTile(tile, leaves, tlog.StoredHashIndex(0, index))
			if err != nil {
				return nil, fmt.Errorf("index %d: %w", index, err)
			}
			if tlog.RecordHash(entry) != leaf {
				return nil, fmt.Errorf("index %d: entry does not hash to its leaf", index)
			}
			more, err := tlog.StoredHashes(index, entry, stored)
			if err != nil {
				return nil, fmt.Errorf("index %d: %w", index, err)
			}
			stored = append(stored, more...)
		}
	}
	return stored, nil
}

// compareTiles compares every tile file with the tree recomputed from the entries.
func compareTiles(dir string, size int64, stored hashes) error {
	for _, tile := range tlog.NewTiles(height, 0, size) {
		want, err := tlog.ReadTileData(tile, stored)
		if err != nil {
			return err
		}
		got, err := readTile(dir, tile)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%s differs from the entries", tilePath(tile))
		}
	}
	return nil
}

// authenticateLeaves reads every leaf as a client would, authenticated by the signed root alone.
func authenticateLeaves(dir string, tree tlog.Tree, stored hashes) error {
	reader := tlog.TileHashReader(tree, tileReader{dir})
	for first := int64(0); first < tree.N; first += width {
		var indexes []int64
		for i := first; i < min(first+width, tree.N); i++ {
			indexes = append(indexes, tlog.StoredHashIndex(0, i))
		}
		leaves, err := reader.ReadHashes(indexes)
		if err != nil {
			return fmt.Errorf("index %d: %w", first, err)
		}
		for i, leaf := range leaves {
			if leaf != stored[indexes[i]] {
				return fmt.Errorf("index %d: authenticated leaf differs", first+int64(i))
			}
		}
	}
	return nil
}

// hashes is a tlog.HashReader over hashes in stored order.
type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index < 0 || index >= int64(len(h)) {
			return nil, fmt.Errorf("no stored hash %d", index)
		}
		out[i] = h[index]
	}
	return out, nil
}

// tileReader is a tlog.TileReader over the directory.
type tileReader struct{ dir string }

func (r tileReader) Height() int                     { return height }
func (r tileReader) SaveTiles([]tlog.Tile, [][]byte) {}
func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, tile := range tiles {
		data, err := readTile(r.dir, tile)
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}

// tilePath maps Go's tile/8/<L>/<N> to the tile/<L>/<N> of C2SP.
func tilePath(tile tlog.Tile) string {
	return "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
}

// readTile reads one tile, out of the full one if the partial one is gone.
func readTile(dir string, tile tlog.Tile) ([]byte, error) {
	want := tile.W * tlog.HashSize
	data, full, err := readEither(dir, tile, tilePath)
	if err != nil {
		return nil, err
	}
	if full && len(data) == width*tlog.HashSize {
		return data[:want], nil
	}
	if len(data) != want {
		return nil, fmt.Errorf("%s has %d bytes, not %d", tilePath(tile), len(data), want)
	}
	return data, nil
}

// readBundle reads the first n entries of a bundle; a bundle of exactly n has nothing after.
func readBundle(dir string, index int64, n int) ([][]byte, error) {
	tile := tlog.Tile{H: height, L: 0, N: index, W: n}
	data, full, err := readEither(dir, tile, func(tile tlog.Tile) string {
		return "tile/entries/" + strings.TrimPrefix(tile.Path(), "tile/8/0/")
	})
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(entries) < n {
		if len(data) < 2 {
			return nil, fmt.Errorf("bundle ends after %d entries", len(entries))
		}
		length := int(binary.BigEndian.Uint16(data))
		if len(data) < 2+length {
			return nil, fmt.Errorf("bundle ends inside entry %d", len(entries))
		}
		entries = append(entries, data[2:2+length])
		data = data[2+length:]
	}
	if len(data) > 0 && !full {
		return nil, fmt.Errorf("bundle has %d bytes after its entries", len(data))
	}
	return entries, nil
}

// readEither reads the file of a tile, or of the full tile that took a partial one's place.
func readEither(dir string, tile tlog.Tile, path func(tlog.Tile) string) (data []byte, full bool, err error) {
	data, err = os.ReadFile(filepath.Join(dir, filepath.FromSlash(path(tile))))
	if !errors.Is(err, fs.ErrNotExist) || tile.W == width {
		return data, false, err
	}
	tile.W = width
	data, err = os.ReadFile(filepath.Join(dir, filepath.FromSlash(path(tile))))
	return data, true, err
}
