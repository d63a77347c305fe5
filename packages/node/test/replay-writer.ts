/** A child process: replay protection that takes tags as fast as it can, and says on standard output up to which all are on the disk. */
import { writeSync } from 'node:fs'
import { MemoryMetrics, RealClock, SystemRandom, silentLogger } from '@mixwright/runtime'
import { loadCryptoProvider } from '@mixwright/sphinx'
import { ReplayProtection } from '../src/replay/replay-protection.js'

const replay = await ReplayProtection.open({
  directory: process.argv[2]!,
  clock: new RealClock(),
  random: new SystemRandom(),
  crypto: await loadCryptoProvider(),
  logger: silentLogger,
  metrics: new MemoryMetrics(),
})
await replay.protect(1)
const tag = new Uint8Array(32)
for (let next = 0; ; ) {
  for (const end = next + 20_000; next < end; next++) {
    new DataView(tag.buffer).setUint32(0, next)
    replay.check(1, tag)
  }
  await replay.flush()
  writeSync(1, `${next}\n`)
}
