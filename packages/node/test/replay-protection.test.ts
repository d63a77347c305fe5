import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it, mock } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { MemoryMetrics, SystemRandom, silentLogger, VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { PAGE_BYTES } from '../src/replay/quotient-page.js'
import { ENTRY_BYTES, HEADER_BYTES, PAGE_RECORD_BYTES } from '../src/replay/replay-file.js'
import { FLUSH_AFTER_MS, RETRY_AFTER_MS } from '../src/replay/replay-journal.js'
import { ReplayProtection } from '../src/replay/replay-protection.js'

/** Enough tags for a snapshot. */
const MANY = 80_000

let crypto: CryptoProvider
let scratch: string
before(async () => {
  crypto = await loadCryptoProvider()
  scratch = mkdtempSync(join(tmpdir(), 'mixwright-replay-'))
})
after(() => rmSync(scratch, { recursive: true, force: true }))

let directories = 0
const newDirectory = () => join(scratch, String(directories++))

function tag(number: number): Uint8Array {
  const bytes = new Uint8Array(32)
  new DataView(bytes.buffer).setUint32(0, number)
  return bytes
}

interface Run {
  readonly replay: ReplayProtection
  readonly clock: VirtualClock
  value(name: 'write_failures_total' | 'damages_total' | 'filter_bytes' | 'filter_tags' | 'false_positive_rate'): number
  /** How many of the tags from `from` to `to` are fresh, of every `step`th. */
  fresh(from: number, to: number, rotationId?: number, step?: number): number
}

async function start(directory: string | undefined, rotationIds: readonly number[] = [1]): Promise<Run> {
  const metrics = new MemoryMetrics()
  const clock = new VirtualClock()
  const options = { directory, clock, random: new SystemRandom(), crypto, logger: silentLogger, metrics }
  const replay = await ReplayProtection.open(options)
  for (const rotationId of rotationIds) await replay.protect(rotationId)
  return {
    replay,
    clock,
    value: (name) => metrics.value(`mixwright_replay_${name}`),
    fresh(from, to, rotationId = 1, step = 1) {
      let count = 0
      for (let n = from; n < to; n += step) if (replay.check(rotationId, tag(n)) === 'fresh') count++
      return count
    },
  }
}

/** A directory with so many tags, from 0 on, as a clean stop leaves it. */
async function filled(tags: number): Promise<string> {
  const directory = newDirectory()
  const { replay, fresh } = await start(directory)
  fresh(0, tags)
  await replay.flush()
  await replay.close()
  return directory
}

function copyOf(directory: string): string {
  const copy = newDirectory()
  cpSync(directory, copy, { recursive: true })
  return copy
}

describe('replay protection', () => {
  it('lets each tag pass once for each key, and none of an unknown key', async () => {
    const { replay, value } = await start(undefined, [4, 5])
    assert.equal(value('filter_tags'), 0)
    assert.equal(replay.check(4, tag(1)), 'fresh')
    assert.equal(replay.check(4, tag(1)), 'replayed')
    assert.equal(replay.check(5, tag(1)), 'fresh')
    assert.equal(replay.check(6, tag(1)), 'unknown-key')
    await replay.protect(4)
    assert.equal(replay.check(4, tag(1)), 'replayed')
    assert.equal(value('filter_tags'), 2)
    assert.equal(value('filter_bytes'), 2 * PAGE_BYTES)
    assert.ok(value('false_positive_rate') > 0 && value('false_positive_rate') < 1e-12)
    await replay.forget(4)
    assert.equal(replay.check(4, tag(2)), 'unknown-key')
    await replay.keepOnly([])
    assert.equal(replay.check(5, tag(2)), 'unknown-key')
    await replay.close()
  })

  it('knows after a restart what it knew before, key by key', async () => {
    const directory = newDirectory()
    const first = await start(directory, [7, 8])
    assert.equal(first.fresh(0, 100, 7), 100)
    assert.equal(first.fresh(50, 200, 8), 150)
    await first.replay.close()
    for (const name of readdirSync(directory)) assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600)
    for (let restarts = 0; restarts < 3; restarts++) {
      const next = await start(directory, [7, 8])
      assert.equal(next.fresh(0, 100 + restarts, 7), restarts === 0 ? 0 : 1)
      assert.equal(next.fresh(0, 200, 8), restarts === 0 ? 50 : 0)
      await next.replay.close()
      assert.equal(next.value('damages_total') + next.value('write_failures_total'), 0)
    }
    assert.equal(readdirSync(directory).length, 2)
  })

  it('writes half a second after the first new tag, without being asked', async () => {
    const directory = newDirectory()
    const { replay, clock, fresh } = await start(directory)
    const journal = join(directory, 'replay-1.1.journal')
    fresh(0, 3)
    clock.advance(FLUSH_AFTER_MS - 1)
    for (let turns = 0; turns < 20; turns++) await turn()
    assert.equal(statSync(journal).size, HEADER_BYTES)
    clock.advance(1)
    while (statSync(journal).size === HEADER_BYTES) await turn()
    assert.equal(statSync(journal).size, HEADER_BYTES + 3 * ENTRY_BYTES)
    fresh(0, 3)
    assert.equal(clock.pending, 0, 'replays write nothing')
    await replay.close()
  })

  it('removes the files of keys that are gone, and no others', async () => {
    const directory = newDirectory()
    const first = await start(directory, [1, 2, 3])
    for (const id of [1, 2, 3]) first.fresh(0, 10, id)
    writeFileSync(join(directory, 'sphinx-keys.json'), '')
    writeFileSync(join(directory, 'replay-1.txt'), '')
    writeFileSync(join(directory, 'replay-1.9.snapshot.tmp'), '')
    writeFileSync(join(directory, 'replay-1.0.journal.damaged'), '')
    await first.replay.forget(1)
    const left = ['replay-1.txt', 'replay-2.1.journal', 'replay-3.1.journal', 'sphinx-keys.json']
    assert.deepEqual(readdirSync(directory).sort(), left)
    await first.replay.close()
    const second = await start(directory, [])
    await second.replay.keepOnly([3])
    await second.replay.protect(3)
    assert.deepEqual(readdirSync(directory).sort(), ['replay-1.txt', 'replay-3.1.journal', 'sphinx-keys.json'])
    assert.equal(second.fresh(0, 10, 3), 0)
    await second.replay.protect(1)
    assert.equal(second.fresh(0, 10, 1), 10)
    await second.replay.close()
  })
})

describe('a snapshot of a replay filter', () => {
  it('is written while tags come, loses none, and replaces older files', async () => {
    const directory = newDirectory()
    const run = await start(directory)
    let added = MANY
    run.fresh(0, added)
    let written = false
    const flushed = run.replay.flush().then(() => {
      written = true
    })
    let during = 0
    while (!written) {
      run.fresh(added, added + 200)
      added += 200
      during++
      run.clock.advance(FLUSH_AFTER_MS)
      await turn()
    }
    await flushed
    await run.replay.flush()
    assert.ok(during > 5)
    assert.deepEqual(readdirSync(directory).sort(), ['replay-1.2.journal', 'replay-1.2.snapshot'])
    // As a crash at this moment leaves it.
    const crashed = await start(copyOf(directory))
    assert.equal(crashed.fresh(0, added), 0)
    assert.equal(crashed.value('damages_total'), 0)
    assert.ok(crashed.value('filter_bytes') >= 4 * PAGE_BYTES)
    await crashed.replay.close()
    const end = 3 * added
    run.fresh(added, end)
    await run.replay.flush()
    assert.deepEqual(readdirSync(directory).sort(), ['replay-1.3.journal', 'replay-1.3.snapshot'])
    await run.replay.close()
    const next = await start(directory)
    assert.equal(next.fresh(0, end), 0)
    await next.replay.close()
  })

  it('may be given up by a stop: the older files are still there', async () => {
    const directory = newDirectory()
    const run = await start(directory)
    run.fresh(0, MANY)
    const flushed = run.replay.flush()
    while (!readdirSync(directory).includes('replay-1.2.snapshot.tmp')) await turn()
    await run.replay.close()
    await flushed
    assert.equal(run.value('write_failures_total'), 0)
    const next = await start(directory)
    assert.equal(next.fresh(0, MANY), 0)
    await next.replay.close()
  })
})

describe('kill -9 while tags come', () => {
  for (const killAfter of [1, 4, 9]) {
    it(`after ${killAfter} writes: every tag up to the last write is known`, async () => {
      const directory = newDirectory()
      const program = fileURLToPath(new URL('./replay-writer.js', import.meta.url))
      const child = spawn(process.execPath, [program, directory], { stdio: ['ignore', 'pipe', 'inherit'] })
      let output = ''
      child.stdout.on('data', (chunk) => {
        output += chunk
        if (output.split('\n').length > killAfter) child.kill('SIGKILL')
      })
      await once(child, 'close')
      const written = Number(output.split('\n').at(-2))
      assert.ok(written >= killAfter * 20_000)
      const next = await start(directory)
      assert.equal(next.fresh(0, written), 0)
      assert.equal(next.value('damages_total'), 0)
      await next.replay.close()
    })
  }
})

describe('damaged replay files', () => {
  it('a journal cut off anywhere: whole entries are known, and what is added later too', async () => {
    const original = await filled(20)
    const size = HEADER_BYTES + 20 * ENTRY_BYTES
    for (let length = 0; length < size; length++) {
      const directory = copyOf(original)
      truncateSync(join(directory, 'replay-1.1.journal'), length)
      const run = await start(directory)
      const whole = Math.max(0, Math.floor((length - HEADER_BYTES) / ENTRY_BYTES))
      assert.equal(run.value('damages_total'), length < HEADER_BYTES ? 1 : 0)
      assert.equal(run.fresh(0, whole), 0)
      assert.equal(run.fresh(0, 20), 20 - whole)
      await run.replay.close()
      const next = await start(directory)
      assert.equal(next.fresh(0, 20), 0, `cut off at ${length}`)
      await next.replay.close()
      assert.equal(readdirSync(directory).includes('replay-1.1.journal.damaged'), length < HEADER_BYTES)
      rmSync(directory, { recursive: true })
    }
  })

  it('a journal with any byte wrong: the header counts as damaged, an entry is one tag', async () => {
    const original = await filled(5)
    const bytes = readFileSync(join(original, 'replay-1.1.journal'))
    for (let at = 0; at < bytes.length; at++) {
      const directory = newDirectory()
      mkdirSync(directory)
      const wrong = Buffer.from(bytes)
      wrong[at]! ^= 0xff
      writeFileSync(join(directory, 'replay-1.1.journal'), wrong)
      const run = await start(directory)
      if (at < HEADER_BYTES) assert.equal(run.value('damages_total'), 1)
      assert.equal(run.fresh(0, 5), at < HEADER_BYTES ? 5 : 1, `byte ${at}`)
      await run.replay.close()
      rmSync(directory, { recursive: true })
    }
  })

  it('a snapshot cut off or with wrong bytes: what the journals hold is known, and so are its whole pages', async () => {
    const original = newDirectory()
    const { replay, fresh } = await start(original)
    fresh(0, MANY)
    await replay.flush()
    fresh(MANY, MANY + 100)
    await replay.close()
    const bytes = readFileSync(join(original, 'replay-1.2.snapshot'))
    const pages = (bytes.length - HEADER_BYTES) / PAGE_RECORD_BYTES
    assert.equal(pages, 4)
    const second = HEADER_BYTES + PAGE_RECORD_BYTES
    const cut = (length: number) => bytes.subarray(0, length)
    const wrong = (at: number) => {
      const copy = Buffer.from(bytes)
      copy[at]! ^= 0x10
      return copy
    }
    // With how many of the 4 pages are lost.
    const cases: [Buffer, number][] = [
      [cut(0), 4],
      [cut(HEADER_BYTES - 1), 4],
      [cut(HEADER_BYTES), 4],
      [cut(HEADER_BYTES + 1), 4],
      [cut(second - 1), 4],
      [cut(second), 3],
      [cut(second + 11), 3],
      [cut(bytes.length - 1), 1],
      [wrong(0), 4],
      [wrong(30), 4],
      [wrong(HEADER_BYTES), 1],
      [wrong(HEADER_BYTES + 4), 1],
      [wrong(HEADER_BYTES + 9), 1],
      [wrong(second - 1), 1],
      [wrong(second + 50_000), 1],
      [Buffer.concat([bytes, bytes.subarray(0, 7)]), 0],
    ]
    for (const [content, lost] of cases) {
      const directory = copyOf(original)
      writeFileSync(join(directory, 'replay-1.2.snapshot'), content)
      const run = await start(directory)
      assert.ok(run.value('damages_total') > 0)
      assert.equal(run.fresh(MANY, MANY + 100), 0)
      const forgotten = (run.fresh(0, MANY, 1, 20) / MANY) * 20
      assert.ok(Math.abs(forgotten - lost / pages) < 0.03, `${forgotten} forgotten of ${lost} lost pages`)
      await run.replay.close()
      rmSync(directory, { recursive: true })
    }
  })

  it('a journal full of garbage, or of another filter', async () => {
    const directory = await filled(10)
    const other = await filled(10)
    const garbage = Buffer.alloc(600_000, 0xee)
    // Most entries are no fingerprints, a thousand are neighbours at the end of a page, more than there is room for.
    for (let n = 0; n < 1000; n++) garbage.writeUIntLE(45 * 2 ** 39 - 1 - n, n * ENTRY_BYTES, ENTRY_BYTES)
    writeFileSync(
      join(directory, 'replay-1.1.journal'),
      Buffer.concat([readFileSync(join(directory, 'replay-1.1.journal')), garbage]),
    )
    cpSync(join(other, 'replay-1.1.journal'), join(directory, 'replay-1.2.journal'))
    writeFileSync(join(directory, 'replay-1.3.journal'), garbage)
    mkdirSync(join(directory, 'replay-1.4.snapshot'))
    const run = await start(directory)
    assert.equal(run.fresh(0, 10), 0)
    assert.equal(run.fresh(10, 1000), 990)
    assert.ok(run.value('damages_total') > 99_500)
    await run.replay.close()
    const next = await start(directory)
    assert.equal(next.fresh(0, 1000), 0)
    await next.replay.close()
    const damaged = readdirSync(directory).filter((name) => name.endsWith('.damaged'))
    assert.deepEqual(damaged.sort(), [
      'replay-1.2.journal.damaged',
      'replay-1.3.journal.damaged',
      'replay-1.4.snapshot.damaged',
    ])
  })
})

describe('a disk that fails', () => {
  it('at the beginning: the filter in memory goes on, and is on the disk once that works', async () => {
    const directory = newDirectory()
    writeFileSync(directory, 'a file where the directory should be')
    const run = await start(directory)
    assert.ok(run.value('write_failures_total') > 0)
    assert.equal(run.fresh(0, 1000), 1000)
    await run.replay.flush()
    assert.equal(run.fresh(0, 1000), 0)
    rmSync(directory)
    // Half a minute after the failure, with no packet coming.
    run.clock.advance(RETRY_AFTER_MS)
    await run.replay.flush()
    assert.deepEqual(readdirSync(directory).sort(), ['replay-1.1.journal', 'replay-1.1.snapshot'])
    run.fresh(1000, 1100)
    await run.replay.close()
    const next = await start(directory)
    assert.equal(next.fresh(0, 1100), 0)
    await next.replay.close()
  })

  it('in the middle of a journal: nothing is forgotten by a stop after it', async (t) => {
    const directory = newDirectory()
    const run = await start(directory)
    run.fresh(0, 1000)
    await run.replay.flush()
    const handle = await open(join(directory, 'replay-1.1.journal'))
    const datasync = mock.method(Object.getPrototypeOf(handle), 'datasync', async () => {
      throw Object.assign(new Error('no space left'), { code: 'ENOSPC' })
    })
    t.after(() => datasync.mock.restore())
    await handle.close()
    run.fresh(1000, 2000)
    await run.replay.flush()
    run.clock.advance(RETRY_AFTER_MS)
    await run.replay.flush()
    assert.equal(run.value('write_failures_total'), 2)
    assert.equal(run.fresh(0, 2000), 0)
    run.fresh(2000, 3000)
    datasync.mock.restore()
    await run.replay.close()
    const next = await start(directory)
    assert.equal(next.fresh(0, 3000), 0)
    await next.replay.close()
  })

  it('while a snapshot is written: the journals stay, and the next one is whole', async () => {
    const directory = newDirectory()
    const run = await start(directory)
    symlinkSync('/dev/full', join(directory, 'replay-1.2.snapshot.tmp'))
    run.fresh(0, MANY)
    await run.replay.flush()
    assert.equal(run.value('write_failures_total'), 1)
    assert.deepEqual(readdirSync(directory).sort(), ['replay-1.1.journal', 'replay-1.2.journal'])
    run.fresh(MANY, MANY + 10)
    await run.replay.flush()
    const crashed = await start(copyOf(directory))
    assert.equal(crashed.fresh(0, MANY + 10), 0)
    await crashed.replay.close()
    run.clock.advance(RETRY_AFTER_MS)
    await run.replay.flush()
    assert.deepEqual(readdirSync(directory).sort(), ['replay-1.3.journal', 'replay-1.3.snapshot'])
    await run.replay.close()
    const next = await start(directory)
    assert.equal(next.fresh(0, MANY + 10), 0)
    await next.replay.close()
  })
})
