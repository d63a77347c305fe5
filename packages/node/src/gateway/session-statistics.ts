/**
 * Sessions of clients, counted by the day (02-gateway §9.4; 05-mixnode §12 `/metrics/sessions`, §14). Who they were leaves
 * this file only as a number: official nodes publish hashes of identities and exact durations, ours neither.
 */
import type { Clock, Counter, Histogram, Metrics } from '@mixwright/runtime'

const DAY_MS = 86_400_000
/** To which durations are rounded up, milliseconds. */
const DURATION_STEP_MS = 60_000
/** Upper ends of the histogram's buckets, as official nodes have them; seconds. */
const DURATION_BOUNDS = [3, 15, 70, 120, 300, 900, 3_600, 43_200, 84_600, 88_200, 259_200]
/** Durations kept of one day; further sessions are only counted. */
const DURATIONS_PER_DAY = 10_000

/** The answer of `/metrics/sessions`, for the last full day in UTC. */
export interface SessionSummary {
  /** The day, `YYYY-MM-DD`. */
  readonly update_time: string
  readonly unique_active_users: number
  /** Always empty. */
  readonly unique_active_users_hashes: readonly string[]
  readonly sessions: readonly { readonly duration_ms: number; readonly typ: string }[]
  readonly sessions_started: number
  readonly sessions_finished: number
}

interface Day {
  /** Days since 1970-01-01 UTC. */
  readonly number: number
  readonly users: Set<string>
  readonly durationsMs: number[]
  started: number
  finished: number
}

export class SessionStatistics {
  readonly #clock: Clock
  readonly #connected: () => Iterable<string>
  readonly #started: Counter
  readonly #finished: Counter
  readonly #durations: Histogram
  #today: Day
  #yesterday: Day

  /** `connected`: the keys of those who are in a session now; they are users of a day that begins. */
  constructor(clock: Clock, metrics: Metrics, connected: () => Iterable<string>) {
    this.#clock = clock
    this.#connected = connected
    const number = dayOf(clock)
    this.#today = newDay(number, [])
    this.#yesterday = newDay(number - 1, [])
    metrics.gauge('nym_node_entry_client_unique_users', 'Clients with a session today (UTC)', {}, () => {
      this.#roll()
      return this.#today.users.size
    })
    this.#started = metrics.counter('nym_node_entry_client_sessions_started', 'Client sessions begun')
    this.#finished = metrics.counter('nym_node_entry_client_sessions_finished', 'Client sessions ended')
    this.#durations = metrics.histogram(
      'nym_node_entry_client_sessions_durations_mixnet',
      'How long client sessions were, seconds',
      DURATION_BOUNDS,
    )
  }

  /** A session begins, of the client with this key in maps. */
  started(key: string): void {
    this.#roll()
    this.#today.users.add(key)
    this.#today.started++
    this.#started.increment()
  }

  /** A session ended after `durationMs`. */
  finished(durationMs: number): void {
    this.#roll()
    this.#today.finished++
    this.#finished.increment()
    this.#durations.observe(durationMs / 1000)
    const { durationsMs } = this.#today
    if (durationsMs.length < DURATIONS_PER_DAY) {
      durationsMs.push(Math.ceil(durationMs / DURATION_STEP_MS) * DURATION_STEP_MS)
    }
  }

  /** Of the last full day. */
  summary(): SessionSummary {
    this.#roll()
    const { number, users, durationsMs, started, finished } = this.#yesterday
    return {
      update_time: new Date(number * DAY_MS).toISOString().slice(0, 10),
      unique_active_users: users.size,
      unique_active_users_hashes: [],
      sessions: durationsMs.map((duration_ms) => ({ duration_ms, typ: 'mixnet' })),
      sessions_started: started,
      sessions_finished: finished,
    }
  }

  #roll(): void {
    const number = dayOf(this.#clock)
    if (number === this.#today.number) return
    // Nothing came for more than a day: then yesterday is one of which only those are known who stayed.
    this.#yesterday = number === this.#today.number + 1 ? this.#today : newDay(number - 1, this.#connected())
    this.#today = newDay(number, this.#connected())
  }
}

function newDay(number: number, users: Iterable<string>): Day {
  return { number, users: new Set(users), durationsMs: [], started: 0, finished: 0 }
}

function dayOf(clock: Clock): number {
  return Math.floor(clock.now() / DAY_MS)
}
