/** A network from `mixwright up` as a user starts it, in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { RealClock } from '@mixwright/runtime'
import type { CryptoProviderName } from '@mixwright/sphinx'

const clock = new RealClock()

export interface RunningNetwork {
  readonly process: ChildProcess
  /** From the start of the process. */
  readonly readyMs: number
  /** Without the start of Node.js and the loading of the program, by its own account. */
  readonly ownReadyMs: number
  readonly crypto: CryptoProviderName
  readonly summary: {
    readonly nymApiUrl: string
    readonly nodes: readonly { readonly role: string; readonly identityKey: string; readonly httpUrl: string }[]
    readonly services: { readonly networkRequester: string; readonly echo: string; readonly socks5: string | null }
  }
}

/** Start it, with its summary in `directory`; its last output before it waits is the sign that it is ready. */
export async function startNetwork(directory: string, flags: readonly string[] = []): Promise<RunningNetwork> {
  const out = join(directory, 'network.json')
  const command = fileURLToPath(new URL('../../../packages/cli/bin/mixwright.mjs', import.meta.url))
  const startedAt = clock.monotonic()
  const process = spawn(globalThis.process.execPath, [command, 'up', '--port', '0', '--out', out, ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const line of createInterface({ input: process.stdout })) {
    const [, ownReadyMs, crypto] = /network ready in (\d+) ms \(\d+ nodes, ([\w-]+)\)/.exec(line) ?? []
    if (ownReadyMs === undefined) continue
    const readyMs = clock.monotonic() - startedAt
    process.stdout.resume()
    const summary = JSON.parse(readFileSync(out, 'utf8')) as RunningNetwork['summary']
    return { process, readyMs, ownReadyMs: Number(ownReadyMs), crypto: crypto as CryptoProviderName, summary }
  }
  throw new Error('mixwright up ended before it was ready')
}

/** Milliseconds from the first Ctrl-C to the end of the process. */
export async function stopNetwork({ process }: RunningNetwork): Promise<number> {
  const ended = once(process, 'exit')
  const stoppedAt = clock.monotonic()
  process.kill('SIGINT')
  await ended
  return clock.monotonic() - stoppedAt
}

/** One metric, summed over all nodes as they tell it over HTTP; every label of it. */
export async function metricOf({ summary }: RunningNetwork, metric: string): Promise<number> {
  const texts = await Promise.all(
    summary.nodes.map(async ({ httpUrl }) => (await fetch(`${httpUrl}/api/v1/metrics/prometheus`)).text()),
  )
  const samples = texts.flatMap((text) => [...text.matchAll(new RegExp(`^${metric}(?:\\{[^}]*\\})? (\\d+)`, 'gm'))])
  return samples.reduce((sum, [, value]) => sum + Number(value), 0)
}
