/**
 * Which gateway a new client registers with (04-client §4.14): any, one by name, or one of the near ones. Latency is
 * measured with `supportedProtocol`, since browsers cannot ping (02-gateway §11.3).
 */
import { type Clock, MixError, type Random, shuffled, type Timer, uniform } from '@mixwright/runtime'
import { encodeClientRequest, parseServerResponse } from '@mixwright/wire'
import type { GatewayNode } from '../directory/topology.js'
import { GatewaySocket, type OpenWebSocket } from './gateway-socket.js'

export interface GatewayChoiceOptions {
  readonly clock: Clock
  readonly random: Random
  readonly openWebSocket: OpenWebSocket
  readonly signal?: AbortSignal | undefined
}

/** Gateways measured, all at once. */
const MOST_MEASURED = 20
const OPEN_MS = 1_500
const ANSWER_MS = 1_000
const ROUND_TRIPS = 3
/** Nothing counts as nearer than this, milliseconds: weights stay finite. */
const LEAST_LATENCY_MS = 0.01

const QUESTION = encodeClientRequest({ type: 'supportedProtocol' })

/**
 * Choose among the gateways that take clients. `choice`: `random`; `latency`, up to 20 measured and one drawn with weight
 * 1/latency; or a base58 identity. Errors: `MIX_GATEWAY_UNKNOWN`, `MIX_NO_GATEWAY`, or the signal's reason.
 */
export async function chooseGateway(
  choice: string,
  gateways: Iterable<GatewayNode>,
  options: GatewayChoiceOptions,
): Promise<GatewayNode> {
  options.signal?.throwIfAborted()
  const candidates = [...gateways].filter(({ websocketUrls }) => websocketUrls.length > 0)
  if (candidates.length === 0) throw noGateway('The network has no gateway that takes clients.')
  switch (choice) {
    case 'random':
      return candidates[Math.floor(uniform(options.random) * candidates.length)]!
    case 'latency':
      return nearOne(candidates, options)
  }
  const named = candidates.find(({ identity }) => identity === choice)
  if (named !== undefined) return named
  const message = `The network has no gateway ${JSON.stringify(choice.slice(0, 100))}, or it takes no clients.`
  throw new MixError('MIX_GATEWAY_UNKNOWN', message, { kind: 'usage', data: { gateway: choice } })
}

async function nearOne(candidates: readonly GatewayNode[], options: GatewayChoiceOptions): Promise<GatewayNode> {
  const sample = shuffled(candidates, options.random).slice(0, MOST_MEASURED)
  const latencies = await Promise.all(sample.map((gateway) => measureGateway(gateway, options)))
  options.signal?.throwIfAborted()
  const near = sample.flatMap((gateway, index) => {
    const latency = latencies[index]
    return latency === undefined ? [] : [{ gateway, weight: 1 / Math.max(latency, LEAST_LATENCY_MS) }]
  })
  const last = near.at(-1)
  if (last === undefined) throw noGateway(`None of ${sample.length} gateways answers.`)
  let left = uniform(options.random) * near.reduce((total, { weight }) => total + weight, 0)
  for (const { gateway, weight } of near) {
    left -= weight
    if (left < 0) return gateway
  }
  return last.gateway
}

/** Mean round trip, milliseconds, by the first of its addresses that answers; undefined when none does. */
async function measureGateway(gateway: GatewayNode, options: GatewayChoiceOptions): Promise<number | undefined> {
  for (const url of gateway.websocketUrls) {
    const latency = await measure(url, options)
    if (latency !== undefined) return latency
    if (options.signal?.aborted) return undefined
  }
  return undefined
}

function measure(url: string, { clock, openWebSocket, signal }: GatewayChoiceOptions): Promise<number | undefined> {
  return new Promise((resolve) => {
    let answers = 0
    let askedAt = 0
    let total = 0
    let deadline: Timer | undefined
    const ask = () => {
      askedAt = clock.monotonic()
      deadline = clock.setTimer(ANSWER_MS, stop)
      socket.send(QUESTION)
    }
    const stop = () => socket.drop(noGateway('The measurement is over.'))
    const socket = new GatewaySocket(openWebSocket, url, clock, OPEN_MS, {
      opened: ask,
      text(text) {
        deadline?.cancel()
        if (parseServerResponse(text)?.type !== 'supportedProtocol') return stop()
        total += clock.monotonic() - askedAt
        if (++answers === ROUND_TRIPS) stop()
        else ask()
      },
      binary: stop,
      ended() {
        deadline?.cancel()
        signal?.removeEventListener('abort', stop)
        resolve(answers === ROUND_TRIPS ? total / ROUND_TRIPS : undefined)
      },
    })
    signal?.addEventListener('abort', stop, { once: true })
  })
}

function noGateway(message: string): MixError {
  return new MixError('MIX_NO_GATEWAY', message, { kind: 'network', retry: true })
}
