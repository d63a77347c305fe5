/** A network kept fresh over hours and days of virtual time: refreshes, failures, rotations, stuck epochs, sleep. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Clock, MixError, SeededRandom, type Timer, VirtualClock } from '@mixwright/runtime'
import { expectedEpoch, expectedRotation } from '../src/directory/rotation-schedule.js'
import type { RotationSchedule, Topology, TopologySource } from '../src/directory/topology.js'
import { TopologyKeeper, type TopologyKeeperOptions } from '../src/directory/topology-keeper.js'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** Virtual time whose time of day can be set forward and back: timers do not notice, as on a machine that slept. */
class JumpingClock implements Clock {
  readonly virtual = new VirtualClock()
  #offset = 0

  now(): number {
    return this.virtual.now() + this.#offset
  }
  monotonic(): number {
    return this.virtual.monotonic()
  }
  setTimer(delayMs: number, action: () => void): Timer {
    return this.virtual.setTimer(delayMs, action)
  }
  jump(byMs: number): void {
    this.#offset += byMs
  }
}

/** A directory in the same virtual time: its epochs last an hour and advance on time, its keys three epochs. */
class StubSource implements TopologySource {
  /** What a reading does beside being noted; throw to fail. */
  behaviour: () => void | Promise<void> = () => {}
  /** When readings were asked for, monotonic milliseconds. */
  readonly reads: number[] = []
  scheduleReads = 0
  schedule: RotationSchedule
  /** The epoch that is shown, when it is not the one of the schedule. */
  stuckEpoch: number | undefined

  constructor(readonly clock: Clock) {
    this.schedule = {
      validityEpochs: 3,
      initialEpochId: 0,
      epochMs: HOUR,
      knownEpochId: 6,
      knownEpochStartMs: clock.now(),
    }
  }

  async read(): Promise<Topology> {
    this.reads.push(this.clock.monotonic())
    await this.behaviour()
    const now = this.clock.now()
    const epochId = this.stuckEpoch ?? expectedEpoch(this.schedule, now)
    const rotationId = Math.floor(epochId / 3)
    return { layers: [[], [], []], gateways: new Map(), epochId, rotationId, readAt: now }
  }

  async readSchedule(): Promise<RotationSchedule> {
    this.scheduleReads++
    return this.schedule
  }
}

const away = () => {
  throw new MixError('MIX_DIRECTORY_UNREACHABLE', 'nobody there', { kind: 'network', retry: true })
}

interface Scene {
  readonly clock: JumpingClock
  readonly source: StubSource
  readonly keeper: TopologyKeeper
  /** What the keeper told. */
  readonly told: string[]
  /** Let time pass, and everything happen that falls into it. */
  pass(ms: number): Promise<void>
}

async function scene(more: Partial<TopologyKeeperOptions> = {}): Promise<Scene> {
  const clock = new JumpingClock()
  const source = new StubSource(clock)
  const told: string[] = []
  const events = {
    refreshed: ({ epochId }: Topology) => told.push(`epoch ${epochId}`),
    rotated: ({ rotationId }: Topology) => told.push(`rotation ${rotationId}`),
    failed: ({ code }: MixError) => told.push(code),
  }
  const random = new SeededRandom('keeper')
  const keeper = await TopologyKeeper.open({ source, clock, random, events, ...more })
  const pass = async (ms: number) => {
    const end = clock.monotonic() + ms
    while (clock.monotonic() < end) {
      clock.virtual.advance(Math.min(SECOND, end - clock.monotonic()))
      // A reading that began settles within its turn.
      for (let turn = 0; turn < 12; turn++) await undefined
    }
  }
  return { clock, source, keeper, told, pass }
}

/** The epoch of what may be sent with; undefined when nothing may. */
const currentEpoch = (keeper: TopologyKeeper) => keeper.current?.epochId

const gaps = (times: readonly number[]) => times.slice(1).map((time, i) => time - times[i]!)

describe('a keeper whose directory is there', () => {
  it('has the network at once, and reads it every five minutes, never quite regularly', async () => {
    const { keeper, source, pass, told } = await scene()
    assert.equal(currentEpoch(keeper), 6)
    await pass(50 * MINUTE)
    const waits = gaps(source.reads)
    assert.ok(waits.length >= 8 && waits.length <= 11, `${waits.length} readings`)
    for (const wait of waits) assert.ok(wait >= 4.5 * MINUTE && wait <= 5.5 * MINUTE + SECOND, `after ${wait} ms`)
    assert.ok(new Set(waits).size > 5)
    assert.deepEqual(new Set(told), new Set(['epoch 6']))
    assert.equal(source.scheduleReads, 1)
    keeper.close()
  })

  it('reads it within seconds after each epoch turned, and tells a rotation once', async () => {
    const { keeper, clock, source, pass, told } = await scene({ refreshMs: 24 * HOUR })
    for (let hour = 1; hour <= 7; hour++) {
      await pass(hour * HOUR + 12 * SECOND - clock.monotonic())
      assert.equal(currentEpoch(keeper), 6 + hour)
      assert.equal(keeper.current?.rotationId, expectedRotation(keeper.schedule, clock.now()))
    }
    assert.equal(source.reads.length, 8)
    assert.deepEqual(told, [
      'epoch 7',
      'epoch 8',
      'epoch 9',
      'rotation 3',
      'epoch 10',
      'epoch 11',
      'epoch 12',
      'rotation 4',
      'epoch 13',
    ])
    keeper.close()
  })

  it('does not read more than once a second, however short the epochs', async () => {
    const clock = new JumpingClock()
    const source = new StubSource(clock)
    source.schedule = { ...source.schedule, epochMs: 1 }
    const events = { refreshed() {}, rotated() {}, failed() {} }
    const keeper = await TopologyKeeper.open({ source, clock, random: new SeededRandom('x'), events })
    for (let i = 0; i < 10_000; i++) {
      clock.virtual.advance(1)
      for (let turn = 0; turn < 12; turn++) await undefined
    }
    assert.ok(source.reads.length > 5 && source.reads.length <= 11, `${source.reads.length} readings`)
    keeper.close()
  })

  it('does not start without one', async () => {
    const clock = new JumpingClock()
    const source = new StubSource(clock)
    source.behaviour = away
    const events = { refreshed() {}, rotated() {}, failed() {} }
    const opening = TopologyKeeper.open({ source, clock, random: new SeededRandom('x'), events })
    await assert.rejects(opening, { code: 'MIX_DIRECTORY_UNREACHABLE' })
    assert.equal(clock.virtual.pending, 0)
  })
})

describe('reading on demand', () => {
  it('reads at once, one reading for all who ask, and not again within ten seconds', async () => {
    const { keeper, source, pass } = await scene()
    await pass(20 * SECOND)
    let finish: () => void
    const slow = new Promise<void>((resolve) => {
      finish = resolve
    })
    source.behaviour = () => slow
    const asked = [keeper.refreshNow(), keeper.refreshNow(), keeper.refreshNow()]
    assert.equal(source.reads.length, 2)
    // However long it takes: who asks meanwhile joins it.
    await pass(11 * SECOND)
    asked.push(keeper.refreshNow())
    finish!()
    await Promise.all(asked)
    assert.equal(source.reads.length, 2)
    await keeper.refreshNow()
    await pass(9 * SECOND)
    await keeper.refreshNow()
    assert.equal(source.reads.length, 2)
    await pass(2 * SECOND)
    await keeper.refreshNow()
    assert.equal(source.reads.length, 3)
    keeper.close()
  })

  it('puts the regular reading off, and resolves also when it fails', async () => {
    const { keeper, source, pass, told } = await scene()
    await pass(4 * MINUTE)
    await keeper.refreshNow()
    await pass(4 * MINUTE)
    assert.equal(source.reads.length, 2)
    source.behaviour = away
    await keeper.refreshNow()
    assert.equal(told.at(-1), 'MIX_DIRECTORY_UNREACHABLE')
    assert.equal(currentEpoch(keeper), 6)
    keeper.close()
  })
})

describe('a keeper whose directory is away', () => {
  it('tries again after 1, 2, 4 … seconds, at most every refresh interval, and says why it has nothing new', async () => {
    const { keeper, source, pass, told } = await scene()
    source.behaviour = away
    await pass(HOUR)
    const waits = gaps(source.reads).slice(1)
    for (const [i, wait] of waits.entries()) {
      const mean = Math.min(2 ** i * SECOND, 5 * MINUTE)
      // Time passes in steps of a second here.
      assert.ok(wait >= 0.9 * mean - SECOND && wait <= 1.1 * mean + SECOND, `${i}: ${wait}`)
    }
    assert.ok(waits.length > 15)
    assert.equal(told.length, waits.length + 1)
    assert.equal(keeper.reason?.code, 'MIX_DIRECTORY_UNREACHABLE')
    source.behaviour = () => {}
    await pass(6 * MINUTE)
    assert.equal(keeper.reason, undefined)
    assert.equal(currentEpoch(keeper), 7)
    keeper.close()
  })

  it('keeps the network until one epoch after its rotation, then has none; recovers after a day by itself', async () => {
    const { keeper, clock, source, pass } = await scene()
    source.behaviour = away
    // Rotation 2 began with epoch 6 and lasts three epochs; nodes keep its keys for one more.
    await pass(4 * HOUR - 2 * SECOND)
    assert.equal(currentEpoch(keeper), 6)
    await pass(2 * SECOND)
    assert.equal(currentEpoch(keeper), undefined)
    assert.equal(keeper.lastRead.epochId, 6)
    await pass(20 * HOUR)
    assert.equal(currentEpoch(keeper), undefined)
    assert.ok(source.reads.length < 24 * 15, 'it was asked too often')
    source.behaviour = () => {}
    await pass(6 * MINUTE)
    assert.equal(currentEpoch(keeper), expectedEpoch(source.schedule, clock.now()))
    assert.equal(keeper.current?.rotationId, 10)
    keeper.close()
  })

  it('takes any error of a source for a failed reading', async () => {
    const { keeper, source, pass, told } = await scene()
    source.behaviour = () => {
      throw new TypeError('a bug in the source')
    }
    await pass(6 * MINUTE)
    assert.equal(told[0], 'MIX_DIRECTORY_UNREACHABLE')
    assert.match(keeper.reason!.message, /a bug in the source/)
    source.behaviour = () => {}
    await pass(6 * MINUTE)
    assert.equal(told.at(-1), 'epoch 6')
    keeper.close()
  })
})

describe('a network whose epochs are stuck', () => {
  it('keeps its keys for a lifetime after each reading, and its schedule is read anew', async () => {
    const { keeper, source, pass } = await scene()
    source.stuckEpoch = 6
    await pass(10 * HOUR)
    assert.equal(currentEpoch(keeper), 6)
    assert.ok(source.scheduleReads > 10)
    source.behaviour = away
    await pass(4 * HOUR - 6 * MINUTE)
    assert.equal(currentEpoch(keeper), 6)
    await pass(7 * MINUTE)
    assert.equal(currentEpoch(keeper), undefined)
    keeper.close()
  })

  it('restarted with other epochs, it is followed from the first reading on', async () => {
    const { keeper, clock, source, pass, told } = await scene()
    await pass(30 * MINUTE)
    source.schedule = { ...source.schedule, knownEpochId: 0, knownEpochStartMs: clock.now() }
    await pass(6 * MINUTE)
    assert.deepEqual(keeper.schedule, source.schedule)
    assert.equal(currentEpoch(keeper), 0)
    assert.deepEqual(
      told.filter((event) => event.startsWith('rotation')),
      ['rotation 0'],
    )
    const before = source.scheduleReads
    await pass(HOUR)
    assert.equal(currentEpoch(keeper), 1)
    assert.equal(source.scheduleReads, before)
    keeper.close()
  })
})

describe('a machine that sleeps', () => {
  it('reads within seconds after it woke, and tries again soon when the network is not up yet', async () => {
    const { keeper, clock, source, pass } = await scene()
    await pass(MINUTE)
    clock.jump(HOUR)
    await pass(6 * SECOND)
    assert.equal(source.reads.length, 2)
    assert.equal(currentEpoch(keeper), 7)
    source.behaviour = away
    clock.jump(30 * HOUR)
    assert.equal(currentEpoch(keeper), undefined)
    await pass(6 * SECOND)
    source.behaviour = () => {}
    await pass(6 * SECOND)
    assert.equal(currentEpoch(keeper), 37)
    keeper.close()
  })

  it('whose clock is set back goes on reading at the same pace', async () => {
    const { keeper, clock, source, pass } = await scene()
    clock.jump(-10 * HOUR)
    await pass(30 * MINUTE)
    for (const wait of gaps(source.reads)) assert.ok(wait <= 5.5 * MINUTE + SECOND, `after ${wait} ms`)
    assert.ok(source.reads.length >= 6)
    keeper.close()
  })
})

describe('closing a keeper', () => {
  it('leaves no timer, cuts off the reading under way and tells nothing more', async () => {
    const clock = new JumpingClock()
    const source = new StubSource(clock)
    const told: string[] = []
    const events = {
      refreshed: () => told.push('refreshed'),
      rotated: () => told.push('rotated'),
      failed: () => told.push('failed'),
    }
    let signalled = false
    const cutOff: TopologySource = {
      readSchedule: () => source.readSchedule(),
      read: (signal) =>
        source.reads.length === 0
          ? source.read()
          : new Promise((_resolve, reject) =>
              signal!.addEventListener('abort', () => {
                signalled = true
                reject(signal!.reason)
              }),
            ),
    }
    const keeper = await TopologyKeeper.open({ source: cutOff, clock, random: new SeededRandom('x'), events })
    clock.virtual.advance(MINUTE)
    const asked = keeper.refreshNow()
    keeper.close()
    keeper.close()
    await asked
    await keeper.refreshNow()
    assert.deepEqual([signalled, told, clock.virtual.pending], [true, [], 0])
  })

  it('also when nothing is under way', async () => {
    const { keeper, clock, source, pass } = await scene()
    keeper.close()
    assert.equal(clock.virtual.pending, 0)
    await pass(HOUR)
    assert.equal(source.reads.length, 1)
  })

  it('works from within an event', async () => {
    const clock = new JumpingClock()
    const source = new StubSource(clock)
    const told: string[] = []
    const events = {
      refreshed: () => {
        told.push('refreshed')
        keeper.close()
      },
      rotated: () => told.push('rotated'),
      failed: () => told.push('failed'),
    }
    const keeper = await TopologyKeeper.open({ source, clock, random: new SeededRandom('x'), events })
    clock.virtual.advance(3 * HOUR)
    for (let turn = 0; turn < 12; turn++) await undefined
    assert.deepEqual([told, clock.virtual.pending], [['refreshed'], 0])
  })
})
