/**
 * The thread of one peel worker: it says `ready` once its cryptography is loaded; keys and batches come as messages, each batch
 * goes back with its outcomes in it.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { type CryptoProviderName, loadCryptoProvider } from '@mixwright/sphinx'
import { type SphinxKey, SphinxKeys } from '../keys/sphinx-keys.js'
import { PacketPipeline, type PacketRoles } from './packet-pipeline.js'
import { peelBatch } from './peel-batch.js'

export interface PeelWorkerData {
  readonly crypto: CryptoProviderName
  readonly roles: PacketRoles
}

export type PeelWorkerMessage =
  | { readonly kind: 'keys'; readonly primary: SphinxKey; readonly secondary: SphinxKey | undefined }
  | { readonly kind: 'batch'; readonly batch: Uint8Array }

const port = parentPort
if (port !== null) {
  const { crypto: name, roles } = workerData as PeelWorkerData
  const crypto = await loadCryptoProvider(name)
  let pipeline: PacketPipeline | undefined
  port.on('message', (message: PeelWorkerMessage) => {
    if (message.kind === 'keys') {
      const { primary, secondary } = message
      for (const key of [pipeline?.keys.primary, pipeline?.keys.secondary]) key?.secret.fill(0)
      pipeline = new PacketPipeline(crypto, new SphinxKeys(primary, secondary), roles)
      return
    }
    const { batch } = message
    peelBatch(batch, (frames) => pipeline!.process(frames))
    port.postMessage(batch, [batch.buffer as ArrayBuffer])
  })
  port.postMessage('ready')
}
