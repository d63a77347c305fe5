/**
 * The directory in which replay filters are kept (05-mixnode §9): its files by name, each either whole or absent. What is in
 * them is in `replay-file.ts`.
 */
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { encodeHeader, type FileHeader, type FileName, fileName, parseFileName } from './replay-file.js'

const UNFINISHED = '.tmp'

export class ReplayDirectory {
  readonly #path: string

  /** The directory need not exist: it is made with its first file. Other files in it are left alone. */
  constructor(path: string) {
    this.#path = path
  }

  /** The files that are there; none where there is no directory. */
  async names(): Promise<FileName[]> {
    return (await this.#entries()).flatMap((entry) => parseFileName(entry) ?? [])
  }

  /** Remove the files of which `which` holds, with what was left of them unfinished. */
  async remove(which: (name: FileName) => boolean): Promise<void> {
    for (const entry of await this.#entries()) {
      const name = parseFileName(entry.endsWith(UNFINISHED) ? entry.slice(0, -UNFINISHED.length) : entry)
      if (name !== undefined && which(name)) await rm(join(this.#path, entry), { force: true })
    }
  }

  /** An existing file, to be read and written. */
  open(name: FileName): Promise<FileHandle> {
    return open(join(this.#path, fileName(name)), 'r+')
  }

  /** A file that begins with `header` and goes on with what `fill` writes. It has its name once it is on the disk; never if `fill` says false. */
  async create(
    header: FileHeader,
    generation: number,
    fill: (file: FileHandle) => Promise<boolean>,
  ): Promise<FileHandle | undefined> {
    await mkdir(this.#path, { recursive: true })
    const path = join(this.#path, fileName({ ...header, generation, damaged: false }))
    const file = await open(path + UNFINISHED, 'w', 0o600)
    let whole = false
    try {
      await writeAll(file, encodeHeader(header), 0)
      if (!(await fill(file))) return undefined
      await file.datasync()
      await rename(path + UNFINISHED, path)
      await this.#flush()
      whole = true
      return file
    } finally {
      if (!whole) {
        await file.close()
        await rm(path + UNFINISHED, { force: true })
      }
    }
  }

  /** Give a file that cannot be read another name, for its owner to look at. */
  async setAside(name: FileName): Promise<void> {
    await rename(join(this.#path, fileName(name)), join(this.#path, fileName({ ...name, damaged: true })))
  }

  async #entries(): Promise<string[]> {
    try {
      return await readdir(this.#path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
  }

  /** Make a rename durable. Some systems cannot flush a directory: there the rename alone must do. */
  async #flush(): Promise<void> {
    const directory = await open(this.#path, 'r').catch(() => undefined)
    await directory?.sync().catch(() => {})
    await directory?.close()
  }
}

/** Write all of `bytes` at `position` of a file. */
export async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}

/** Read into all of `bytes`; returns how many there were before the file ended. */
export async function readAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<number> {
  for (let done = 0; ; ) {
    if (done === bytes.length) return done
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, position + done)
    if (bytesRead === 0) return done
    done += bytesRead
  }
}
