/** Files that are either whole or absent, whatever happens while they are written. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { MixError } from './errors.js'

/**
 * Write `content` to `path` by way of a temporary file beside it, flushed to the disk and renamed into place.
 * `mode` defaults to 0600. Errors: `MIX_FILE_WRITE`, `local`, with the path; the old file is then untouched.
 */
export function writeFileAtomically(path: string, content: string | Uint8Array, mode = 0o600): void {
  const temporary = `${path}.${process.pid}.tmp`
  try {
    const file = openSync(temporary, 'w', mode)
    try {
      writeFileSync(file, content)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(temporary, path)
    flushDirectory(dirname(path))
  } catch (cause) {
    remove(temporary)
    const { message } = cause as Error
    throw new MixError('MIX_FILE_WRITE', `Cannot write ${path}: ${message}`, { kind: 'local', data: { path }, cause })
  }
}

/** Make a rename durable. Some systems cannot flush a directory: there the rename alone must do. */
function flushDirectory(path: string): void {
  let directory: number
  try {
    directory = openSync(path, 'r')
  } catch {
    return
  }
  try {
    fsyncSync(directory)
  } catch {
    // Not supported here.
  } finally {
    closeSync(directory)
  }
}

/** Whatever stood in the way of writing may stand in the way of this too. */
function remove(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {
    // Then there is nothing to remove.
  }
}
