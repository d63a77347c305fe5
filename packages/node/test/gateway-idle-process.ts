/** A child process: a gateway on its own, which says how many timers and how much memory it has. */
import { type Clock, MemoryMetrics, RealClock, SystemRandom, silentLogger, type Timer } from '@mixwright/runtime'
import { loadCryptoProvider } from '@mixwright/sphinx'
import { LOCAL_GATEWAY_LIMITS } from '../src/gateway/door/gateway-limits.js'
import { Gateway } from '../src/gateway/gateway.js'

/** The machine's clock, counting the timers that wait. */
class CountingClock extends RealClock implements Clock {
  readonly waiting = new Set<Timer>()

  override setTimer(delayMs: number, action: () => void, options?: { background?: boolean }): Timer {
    const inner = super.setTimer(
      delayMs,
      () => {
        this.waiting.delete(timer)
        action()
      },
      options,
    )
    const timer = {
      cancel: () => {
        this.waiting.delete(timer)
        inner.cancel()
      },
    }
    this.waiting.add(timer)
    return timer
  }
}

const clock = new CountingClock()
const gateway = await Gateway.open({
  clock,
  random: new SystemRandom(),
  logger: silentLogger,
  metrics: new MemoryMetrics(),
  crypto: await loadCryptoProvider(),
  identitySeed: new Uint8Array(32).fill(9),
  listen: { host: '127.0.0.1', port: 0 },
  databaseFile: process.argv[2] ?? '',
  durability: 'process',
  limits: LOCAL_GATEWAY_LIMITS,
  forward() {},
})
process.on('message', (what) => {
  if (what === 'stop') {
    void gateway.close().then(() => process.disconnect())
    return
  }
  globalThis.gc?.()
  process.send?.({ timers: clock.waiting.size, residentBytes: process.memoryUsage.rss() })
})
process.send?.({ port: gateway.websocketPort })
