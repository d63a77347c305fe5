import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { MixError } from '@mixwright/runtime'
import Database from 'libsql'
import { sqlStore } from '../src/store/sql-store.js'
import { isStoreError, storeCompliance } from './store-compliance.js'

const WRITER = fileURLToPath(new URL('./store-writer.js', import.meta.url))

const scratchDirectory = () => mkdtempSync(join(tmpdir(), 'mixwright-store-'))
const modeOf = (path: string) => statSync(path).mode & 0o777
const isLocked = (error: unknown) => error instanceof MixError && error.code === 'MIX_STORE_LOCKED'
const change = (key: string, value: Uint8Array | undefined) => ({ table: 'outbox', key, value }) as const

describe('the store in an SQL file', () => {
  storeCompliance(() => {
    const directory = scratchDirectory()
    return {
      open: () => sqlStore(join(directory, 'client.sqlite')),
      remove: () => rmSync(directory, { recursive: true }),
    }
  })

  let scratch: string
  let path: string
  beforeEach(() => {
    scratch = scratchDirectory()
    path = join(scratch, 'client.sqlite')
  })
  afterEach(() => rmSync(scratch, { recursive: true }))

  describe('its files', () => {
    it('are the owner’s alone, whatever the umask, and so are directories that it makes', async (t) => {
      const umask = process.umask(0)
      t.after(() => process.umask(umask))
      const store = await sqlStore(join(scratch, 'a', 'b', 'client.sqlite'))
      await store.write([change('a', Uint8Array.of(1))])
      assert.equal(modeOf(join(scratch, 'a')), 0o700)
      assert.equal(modeOf(join(scratch, 'a', 'b')), 0o700)
      const files = readdirSync(join(scratch, 'a', 'b'))
      assert.ok(files.includes('client.sqlite-wal'))
      for (const file of files) assert.equal(modeOf(join(scratch, 'a', 'b', file)), 0o600, file)
      await store.close()
    })

    it('are one after closing, so that it can be copied', async () => {
      const store = await sqlStore(path)
      await store.write([change('a', Uint8Array.of(1))])
      await store.close()
      assert.deepEqual(readdirSync(scratch), ['client.sqlite'])
    })

    it('do not hold what was deleted', async () => {
      const secret = Buffer.from('a message that nobody should find on the disk')
      let store = await sqlStore(path)
      await store.write([change('a', secret), change('b', new Uint8Array(9_000))])
      await store.close()
      assert.ok(readFileSync(path).includes(secret))
      store = await sqlStore(path)
      await store.write([change('a', undefined)])
      await store.close()
      assert.ok(!readFileSync(path).includes(secret))
    })
  })

  it('commits overlapping calls together, off the caller’s stack', async () => {
    const store = await sqlStore(path)
    await store.write([])
    const logBytes = () => statSync(`${path}-wal`).size
    const before = logBytes()
    const writes = Array.from({ length: 100 }, (_, i) => store.write([change(`${i}`, new Uint8Array(10))]))
    assert.equal(logBytes(), before)
    await Promise.all(writes)
    const together = logBytes() - before
    for (let i = 0; i < 5; i++) await store.write([change(`${i}`, new Uint8Array(11))])
    const five = logBytes() - before - together
    // Each commit writes a page at least: a hundred in one take fewer than five alone.
    assert.ok(together > 0 && together < five, `${together} bytes for 100 together, ${five} for 5 alone`)
    await store.close()
  })

  it('refuses after closing', async () => {
    const store = await sqlStore(path)
    await store.close()
    await assert.rejects(store.write([change('a', Uint8Array.of(1))]), isStoreError)
    await assert.rejects(store.load('outbox'), isStoreError)
  })

  describe('its lock', () => {
    it('keeps out another client of the same process, by any name of the file, and says which file', async () => {
      const store = await sqlStore(path)
      await assert.rejects(sqlStore(join(scratch, '.', 'x', '..', 'client.sqlite')), (error: MixError) => {
        assert.equal(error.code, 'MIX_STORE_LOCKED')
        assert.equal(error.kind, 'usage')
        assert.ok(error.message.includes(path))
        assert.equal(error.data.store, path)
        return true
      })
      // Knocking does not loosen it.
      await assert.rejects(sqlStore(path), isLocked)
      await store.write([change('a', Uint8Array.of(1))])
      await store.close()
    })

    it('is free after closing, also for another process, with the closed store still referenced', async () => {
      const store = await sqlStore(path)
      await store.load('outbox')
      await store.write([change('0', Uint8Array.of(1))])
      await store.close()
      const writer = new Writer(path)
      await writer.reached(1)
      await writer.kill()
      assert.ok(store.persistent)
    })

    it('is free after an opening that failed', async () => {
      writeFileSync(path, 'x'.repeat(10_000))
      await assert.rejects(sqlStore(path), isStoreError)
      rmSync(path)
      await (await sqlStore(path)).close()
    })
  })

  it('survives kill -9 at any moment: what resolved is there, nothing is half there, the lock is free', async (t) => {
    let next = 0
    for (const numbers of [1, 2, 30, 150, 7, 400]) {
      const writer = new Writer(path)
      await writer.reached(numbers)
      await assert.rejects(sqlStore(path), isLocked)
      await writer.kill()
      const store = await sqlStore(path)
      const [outbox, inbox] = [await store.load('outbox'), await store.load('inbox')]
      assert.deepEqual(outbox, inbox)
      const stored = [...outbox.keys()].map(Number).sort((a, b) => a - b)
      const last = stored.at(-1)!
      t.diagnostic(`${writer.numbers.length} resolved, the last ${Math.max(...writer.numbers)}; stored up to ${last}`)
      assert.ok(writer.numbers.length >= numbers)
      assert.equal(Math.min(...writer.numbers), next)
      assert.ok(last >= Math.max(...writer.numbers))
      // A prefix of what was written: every number up to the last, less what was deleted again.
      const first = Math.max(0, last - 99)
      assert.deepEqual(
        stored,
        Array.from({ length: last - first + 1 }, (_, i) => first + i),
      )
      for (const [key, value] of outbox) assert.ok(value.length === 1000 && value.every((byte) => byte === +key % 256))
      await store.close()
      next = last + 1
    }
  })

  describe('says what is wrong with the file', () => {
    const reasonOf = async (opening: Promise<unknown>) => {
      const error = await opening.then(
        () => assert.fail('it opened'),
        (error) => error,
      )
      assert.ok(isStoreError(error), String(error))
      assert.equal(error.kind, 'local')
      assert.ok(error.message.includes(path), error.message)
      return String(error.data.reason)
    }

    it('no database', async () => {
      writeFileSync(path, 'not a database, but long enough to be read as one'.repeat(100))
      assert.match(await reasonOf(sqlStore(path)), /not a database/)
    })

    it('a database of something else, which is left as it is', async () => {
      const database = new Database(path)
      database.exec('CREATE TABLE entries (a); PRAGMA user_version = 1')
      database.close()
      const before = readFileSync(path)
      assert.match(await reasonOf(sqlStore(path)), /something else/)
      assert.deepEqual(readFileSync(path), before)
    })

    it('of a newer release', async () => {
      await (await sqlStore(path)).close()
      const database = new Database(path)
      database.exec('PRAGMA user_version = 2')
      database.close()
      assert.match(await reasonOf(sqlStore(path)), /newer release/)
    })

    it('damaged inside', async () => {
      const store = await sqlStore(path)
      await store.write(Array.from({ length: 200 }, (_, i) => change(`${i}`, new Uint8Array(1000))))
      await store.close()
      const bytes = readFileSync(path)
      writeFileSync(path, bytes.fill(0x5a, 8192))
      const damaged = await sqlStore(path)
      assert.match(await reasonOf(damaged.load('outbox')), /malformed/)
      await damaged.close()
    })

    it('a directory', async () => {
      mkdirSync(path)
      await reasonOf(sqlStore(path))
    })

    it('below a file', async () => {
      writeFileSync(path, '')
      await assert.rejects(sqlStore(join(path, 'client.sqlite')), isStoreError)
    })

    it('read-only, left by a clean end or by a killed process', { skip: process.platform === 'win32' }, async () => {
      const store = await sqlStore(path)
      await store.write([change('a', Uint8Array.of(1))])
      const left = join(scratch, 'left.sqlite')
      for (const suffix of ['', '-wal']) copyFileSync(path + suffix, left + suffix)
      await store.close()
      for (const file of [path, left, `${left}-wal`]) chmodSync(file, 0o444)
      chmodSync(scratch, 0o555)
      // The administrator may write whatever the mode says.
      const administrator = process.geteuid?.() === 0
      if (administrator) process.seteuid?.(65534)
      try {
        for (const file of [path, left]) await assert.rejects(sqlStore(file), isStoreError)
        assert.match(await reasonOf(sqlStore(path)), /readonly/)
      } finally {
        if (administrator) process.seteuid?.(0)
        chmodSync(scratch, 0o755)
      }
    })

    it('no space: the call fails, what resolved before is there', { skip: process.platform === 'win32' }, async () => {
      // The largest size that the process may give a file stands for the end of the disk.
      const writer = new Writer(path, 'ulimit -f 400; exec "$0" "$@"')
      await writer.ended()
      assert.deepEqual(writer.words, ['MIX_STORE'])
      assert.ok(writer.numbers.length > 0)
      const store = await sqlStore(path)
      const outbox = await store.load('outbox')
      const last = Math.max(...writer.numbers)
      assert.deepEqual(
        [...outbox.keys()]
          .map(Number)
          .sort((a, b) => a - b)
          .at(-1),
        last,
      )
      assert.deepEqual(await store.load('inbox'), outbox)
      await store.close()
    })
  })

  it('takes every name for a file', async (t) => {
    const directory = process.cwd()
    process.chdir(scratch)
    t.after(() => process.chdir(directory))
    for (const name of [':memory:', 'file:x?mode=memory', 'client.sqlite']) {
      const store = await sqlStore(name)
      await store.write([change(name, Uint8Array.of(1))])
      await store.close()
      assert.ok(readFileSync(join(scratch, name)).includes(Buffer.from(name, 'utf16le').swap16()), name)
    }
  })
})

/** A running `store-writer.ts`, and what it has printed. */
class Writer {
  readonly numbers: number[] = []
  /** Lines that are no numbers. */
  readonly words: string[] = []
  readonly #child: ChildProcess
  readonly #closed: Promise<unknown>
  #rest = ''
  #awaited: { numbers: number; resolve: () => void } | undefined

  constructor(path: string, shell?: string) {
    const command = [process.execPath, WRITER, path]
    const [program, ...args] = shell === undefined ? command : ['sh', '-c', shell, ...command]
    this.#child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#closed = once(this.#child, 'close')
    this.#child.stdout!.on('data', (chunk) => {
      // A line that was cut off says nothing.
      const lines = (this.#rest + chunk).split('\n')
      this.#rest = lines.pop()!
      for (const line of lines) {
        if (/^\d+$/.test(line)) this.numbers.push(Number(line))
        else this.words.push(line)
      }
      if (this.#awaited !== undefined && this.numbers.length >= this.#awaited.numbers) this.#awaited.resolve()
    })
  }

  /** Resolves when so many numbers were printed; rejects when it ends before. */
  reached(numbers: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#awaited = { numbers, resolve }
      this.#closed.then(() => reject(new Error(`it ended early: ${this.words.join(' ')}`)))
    })
  }

  ended(): Promise<unknown> {
    return this.#closed
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#closed
  }
}
