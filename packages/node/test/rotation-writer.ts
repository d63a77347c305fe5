/** A child process: a key rotation with an epoch at each turn, as fast as it can, and packets remembered beside it. Says what is safe on the disk. */
import { writeSync } from 'node:fs'
import { toHex, VirtualClock } from '@mixwright/runtime'
import { loadCryptoProvider } from '@mixwright/sphinx'
import { EPOCH_MS, FakeDirectory, RotatingNode } from './rotation-fixture.js'

const [stateDirectory = '', firstEpoch = '0'] = process.argv.slice(2)
const directory = new FakeDirectory(new VirtualClock())
directory.clock.advance(Number(firstEpoch) * EPOCH_MS)
const crypto = await loadCryptoProvider()
const node = await RotatingNode.start(crypto, directory, '', { stateDirectory })
for (let number = 0; ; number++) {
  const { primary } = node.pipeline.keys
  const tag = crypto.x25519Base(new Uint8Array(32).fill(1 + (number % 250)))
  new DataView(tag.buffer, tag.byteOffset).setUint32(0, number)
  node.replay.check(primary.rotationId, tag)
  await node.replay.flush()
  writeSync(1, `${directory.epochId} ${primary.rotationId} ${toHex(primary.publicKey)} ${toHex(tag)}\n`)
  directory.clock.advance(EPOCH_MS)
  await node.rotation.turn()
}
