/** Key rotation over many epochs, with whatever may be wrong around it: clocks, directories, disks, and sudden death. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { fromHex, toHex, VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import type { Frame } from '@mixwright/wire'
import { EPOCH_MS, FakeDirectory, RotatingNode, VALIDITY } from './rotation-fixture.js'

const HOUR_MS = 3_600_000
const ROTATION_MS = EPOCH_MS * VALIDITY
let crypto: CryptoProvider
let scratch: string
before(async () => {
  crypto = await loadCryptoProvider()
  scratch = mkdtempSync(join(tmpdir(), 'mixwright-rotation-'))
})
after(() => rmSync(scratch, { recursive: true, force: true }))

/** In the middle of an epoch. */
function newDirectory(epoch = 0): FakeDirectory {
  const directory = new FakeDirectory(new VirtualClock())
  directory.clock.advance((epoch + 0.5) * EPOCH_MS)
  return directory
}

/** The keys that a node has in an epoch, primary first (05-mixnode §10). */
function table(epoch: number): number[] {
  const rotation = Math.floor(epoch / VALIDITY)
  const place = epoch % VALIDITY
  if (place === 0 && rotation > 0) return [rotation, rotation - 1]
  return place === VALIDITY - 1 ? [rotation, rotation + 1] : [rotation]
}

function assertTable(node: RotatingNode): void {
  const { epochId } = node.directory
  assert.deepEqual(node.ids, table(epochId), `epoch ${epochId}`)
  assert.deepEqual(node.idsOnDisk, node.ids)
  const rotations = readdirSync(node.stateDirectory).flatMap((name) => /^replay-(\d+)\./.exec(name)?.[1] ?? [])
  assert.deepEqual([...new Set(rotations.map(Number))].sort(), [...node.ids].sort())
}

describe('key rotation over five rotations', () => {
  it('holds the keys of the table, takes the frames of exactly these, and each once', async () => {
    const node = await RotatingNode.start(crypto, newDirectory(), scratch)
    const { directory } = node
    // One frame of each rotation that was taken, to be sent again.
    const taken = new Map<number, Frame>()
    while (directory.epochId < 5 * VALIDITY) {
      assertTable(node)
      const held = node.ids
      const current = Math.floor(directory.epochId / VALIDITY)
      for (const rotationId of [current - 1, current, current + 1]) {
        if (!node.published.has(rotationId)) continue
        for (const version of [7, 8] as const) {
          const frame = node.frame(rotationId, version)
          const what = `v${version} for ${rotationId} in epoch ${directory.epochId}`
          if (held.includes(rotationId)) {
            assert.equal(node.fate(frame), 'fresh', what)
            assert.equal(node.fate(frame), 'replayed', what)
            taken.set(rotationId, frame)
          } else assert.match(node.fate(frame), /^(header-mac|expired-key)$/, what)
        }
      }
      // What was taken an epoch, or a rotation, ago does not pass again: it is known, or its key is gone.
      for (const [rotationId, frame] of taken)
        assert.match(node.fate(frame), held.includes(rotationId) ? /^replayed$/ : /^(header-mac|expired-key)$/)
      await node.pass(EPOCH_MS)
    }
    assert.deepEqual(node.redrawn, [])
    const steps = (step: string) => node.metrics.value('mixwright_key_rotation_steps_total', { step })
    assert.deepEqual(['pre-announce', 'swap', 'forget'].map(steps), [5, 5, 4])
    await node.stop()
  })

  it('goes on after a restart in any epoch, with the keys and the memory that it had', async () => {
    const directory = newDirectory()
    let node = await RotatingNode.start(crypto, directory, scratch)
    const { stateDirectory } = node
    while (directory.epochId < 2 * VALIDITY) {
      const keys = node.ids.map((id) => toHex(node.published.get(id)!))
      const frames = node.ids.map((id) => node.frame(id, 8))
      for (const frame of frames) assert.equal(node.fate(frame), 'fresh')
      await node.stop()
      node = await RotatingNode.start(crypto, directory, scratch, { stateDirectory })
      assert.deepEqual(
        node.ids.map((id) => toHex(node.published.get(id)!)),
        keys,
      )
      for (const frame of frames) assert.equal(node.fate(frame), 'replayed')
      await node.pass(EPOCH_MS)
      assertTable(node)
    }
    await node.stop()
  })
})

describe('a clock that is wrong', () => {
  for (const errorMs of [-HOUR_MS, -EPOCH_MS / 2, EPOCH_MS / 2, HOUR_MS]) {
    it(`by ${errorMs / 1000} s changes nothing while a directory answers`, async () => {
      const node = await RotatingNode.start(crypto, newDirectory(), scratch, { errorMs })
      while (node.directory.epochId < 3 * VALIDITY) {
        assertTable(node)
        await node.pass(EPOCH_MS)
      }
      assert.deepEqual(node.redrawn, [])
      // Not more often than sixty times an epoch.
      assert.ok(node.directory.asked <= 3 * VALIDITY * 61, `${node.directory.asked} questions`)
      await node.stop()
    })

    it(`by ${errorMs / 1000} s costs an epoch at most while none does`, async () => {
      const node = await RotatingNode.start(crypto, newDirectory(), scratch, { errorMs })
      const { directory } = node
      directory.away = true
      while (directory.epochId < 3 * VALIDITY) {
        await node.pass(EPOCH_MS)
        const { epochId } = directory
        const expected = [epochId - 1, epochId, epochId + 1].map((epoch) => table(Math.max(0, epoch)).join())
        assert.ok(expected.includes(node.ids.join()), `${node.ids} in epoch ${epochId}`)
      }
      directory.away = false
      await node.pass(EPOCH_MS)
      assertTable(node)
      assert.deepEqual(node.redrawn, [])
      await node.stop()
    })
  }
})

describe('a directory that cannot be trusted to be there', () => {
  it('away for days: the clock carries the rotation on, and the table holds when it is back', async () => {
    const node = await RotatingNode.start(crypto, newDirectory(), scratch)
    const { directory } = node
    directory.away = true
    for (let rotations = 0; rotations < 20; rotations++) {
      await node.pass(ROTATION_MS)
      assertTable(node)
    }
    directory.away = false
    await node.pass(EPOCH_MS)
    assertTable(node)
    assert.deepEqual(node.redrawn, [])
    await node.stop()
  })

  it('away from the start: the keys at hand are kept, and it is asked until it answers', async () => {
    const directory = newDirectory(1)
    const before = await RotatingNode.start(crypto, directory, scratch)
    await before.stop()
    directory.away = true
    const { stateDirectory } = before
    const node = await RotatingNode.start(crypto, directory, scratch, { stateDirectory })
    await node.pass(2 * ROTATION_MS)
    assert.deepEqual(node.ids, [0])
    assert.equal(node.fate(node.frame(0, 8)), 'fresh')
    directory.away = false
    await node.pass(2_000)
    assertTable(node)
    await node.stop()
  })

  it('a node that was off for days has the key of today at once, and only that', async () => {
    const directory = newDirectory(3)
    const before = await RotatingNode.start(crypto, directory, scratch)
    assert.deepEqual(before.ids, [0, 1])
    const old = before.frame(0, 8)
    await before.stop()
    directory.clock.advance(30 * ROTATION_MS + 2 * EPOCH_MS)
    const { stateDirectory } = before
    const node = await RotatingNode.start(crypto, directory, scratch, { stateDirectory })
    assertTable(node)
    assert.equal(node.fate(old), 'header-mac')
    await node.stop()
  })

  it('one that lags or hurries by an epoch, or contradicts itself, costs no key that it may have read', async () => {
    const node = await RotatingNode.start(crypto, newDirectory(), scratch)
    const { directory } = node
    for (let epochs = 0; epochs < 4 * VALIDITY; epochs++) {
      for (const shift of [-1, 0, 1, 0]) {
        directory.shift = Math.max(shift, -directory.epochId)
        await node.rotation.turn()
        const current = Math.floor(directory.epochId / VALIDITY)
        assert.ok(node.ids.includes(current), `${node.ids} in epoch ${directory.epochId}`)
        assert.deepEqual(node.idsOnDisk, node.ids)
      }
      assert.equal(node.ids[0], Math.floor(directory.epochId / VALIDITY))
      await node.pass(EPOCH_MS)
    }
    // The key that runs was never drawn twice: what is on its way opens.
    assert.deepEqual(node.redrawn, [])
    await node.stop()
  })

  it('one that began anew, far back or far ahead, has the key of its rotation', async () => {
    for (const shift of [100 * VALIDITY, -90 * VALIDITY, -100 * VALIDITY]) {
      const node = await RotatingNode.start(crypto, newDirectory(100 * VALIDITY + 2), scratch)
      assert.deepEqual(node.ids, [100])
      node.directory.shift = shift
      await node.rotation.turn()
      assert.deepEqual(node.ids, [100 + shift / VALIDITY])
      assert.deepEqual(node.idsOnDisk, node.ids)
      assert.equal(node.fate(node.frame(node.ids[0]!, 8)), 'fresh')
      await node.stop()
    }
  })

  it('whatever numbers it tells, the key file can be read again', async () => {
    const most = 0xffff_ffff
    const lies = [
      { epochId: most, validityEpochs: 1 },
      { epochId: most, validityEpochs: most },
      { epochId: 0, initialEpochId: most },
      { epochId: most, initialEpochId: most },
      { epochMs: 1e-6 },
      { epochMs: Number.MAX_SAFE_INTEGER * 1000 },
      { epochStartMs: -8.64e15 },
      { epochStartMs: 8.64e15 },
    ]
    for (const lie of lies) {
      const node = await RotatingNode.start(crypto, newDirectory(), scratch)
      node.directory.lie = lie
      await node.rotation.turn()
      node.directory.away = true
      await node.pass(EPOCH_MS)
      assert.deepEqual(node.idsOnDisk, node.ids, JSON.stringify(lie))
      node.directory.away = false
      node.directory.lie = {}
      // The longest wait between two questions is four hours.
      await node.rotation.turn()
      // A key that was announced too early is kept.
      assert.equal(node.ids[0], 0, JSON.stringify(lie))
      assert.deepEqual(node.idsOnDisk, node.ids)
      await node.stop()
    }
  })

  it('one that never answers does not hold up a stop', async () => {
    const node = await RotatingNode.start(crypto, newDirectory(), scratch)
    node.directory.silent = true
    const asked = node.directory.asked
    node.directory.clock.advance(EPOCH_MS)
    assert.equal(node.directory.asked, asked + 1)
    await node.stop()
  })
})

describe('files and disks', () => {
  it('a key file with the same rotation twice, as nobody writes it: one of them goes', async () => {
    const directory = newDirectory(1)
    const node = await RotatingNode.start(crypto, directory, scratch)
    await node.stop()
    const { primary } = JSON.parse(readFileSync(node.path, 'utf8'))
    writeFileSync(node.path, JSON.stringify({ primary, secondary: { ...primary, secret: '11'.repeat(32) } }))
    const { stateDirectory } = node
    const next = await RotatingNode.start(crypto, directory, scratch, { stateDirectory })
    assert.deepEqual(next.idsOnDisk, [0])
    await next.stop()
  })

  for (let firstEpoch = 1; firstEpoch <= VALIDITY + 1; firstEpoch++) {
    it(`a disk that is full from epoch ${firstEpoch} on for most of a rotation: nothing is lost that was held, and the table holds after`, async () => {
      const node = await RotatingNode.start(crypto, newDirectory(firstEpoch - 1), scratch)
      const { directory } = node
      // Where the key file's next version would be written.
      const inTheWay = `${node.path}.${process.pid}.tmp`
      mkdirSync(inTheWay)
      const held = node.ids
      for (let epochs = 0; epochs < VALIDITY - 1; epochs++) {
        await node.pass(EPOCH_MS)
        assert.deepEqual(node.ids, held)
        assert.deepEqual(node.idsOnDisk, held)
        for (const id of held) assert.equal(node.fate(node.frame(id, 8)), 'fresh')
      }
      rmdirSync(inTheWay)
      await node.pass(EPOCH_MS)
      assertTable(node)
      assert.equal(directory.epochId, firstEpoch - 1 + VALIDITY)
      assert.deepEqual(node.redrawn, [])
      await node.stop()
    })
  }
})

describe('kill -9 at any moment of a rotation', () => {
  it('leaves a key file of before or after a step, and a replay memory that fits it', async (t) => {
    const stateDirectory = mkdtempSync(join(scratch, 'killed-'))
    const program = fileURLToPath(new URL('./rotation-writer.js', import.meta.url))
    let epoch = 0
    let announced = 0
    for (let round = 0; round < 15; round++) {
      const child = spawn(process.execPath, [program, stateDirectory, String(epoch)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let output = ''
      // Ever later within an epoch: the next lines come within milliseconds.
      const lines = 3 + round
      child.stdout.on('data', async (chunk) => {
        output += chunk
        if (output.split('\n').length <= lines) return
        for (let turns = 0; turns < round * 40; turns++) await new Promise((resolve) => setImmediate(resolve))
        child.kill('SIGKILL')
      })
      const [, signal] = await once(child, 'close')
      assert.equal(signal, 'SIGKILL')
      const said = output
        .split('\n')
        .slice(0, -1)
        .map((line) => line.split(' '))
      announced += said.length
      const last = said.at(-1)!
      epoch = Number(last[0])

      // As the next start finds it: in the epoch of the last line, or in the one after.
      const directory = newDirectory(epoch)
      const node = await RotatingNode.start(crypto, directory, scratch, { stateDirectory })
      assert.equal(node.metrics.value('mixwright_replay_damages_total'), 0)
      assert.equal(node.ids[0], Math.floor(epoch / VALIDITY))
      assert.deepEqual(node.idsOnDisk, node.ids)
      // No key that was said to be in use was replaced.
      const inUse = new Map(said.map(([, id, key]) => [Number(id), key]))
      for (const id of node.ids) if (inUse.has(id)) assert.equal(toHex(node.published.get(id)!), inUse.get(id))
      // No packet that was remembered passes again while its key is held.
      for (const [, id, , tag] of said)
        assert.equal(
          node.replay.check(Number(id), fromHex(tag!)),
          node.ids.includes(Number(id)) ? 'replayed' : 'unknown-key',
        )
      await node.stop()
      epoch++
    }
    t.diagnostic(`15 kills within ${announced} epochs`)
  })
})
