/**
 * The files of a requester in its home directory: its client's store, and `requester.json` with what others may know of
 * it, so that it can be shown while it runs.
 */
import { existsSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import type { Client } from '@mixwright/client'
import { MixError } from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'
import { z } from 'zod'
import type { DataHome } from '../data-home.js'

const facts = z.strictObject({
  address: z.string(),
  gateway: z.string(),
  /** ISO 8601. */
  registeredAt: z.string(),
})

/** They never change. */
export type RequesterFacts = z.infer<typeof facts>

export function storeFileOf(home: DataHome): string {
  return home.file('requester.sqlite')
}

/** Error: `MIX_FILE_WRITE`. */
export function writeFacts(home: DataHome, client: Client, nowMs: number): RequesterFacts {
  const { address, gateway } = client.status()
  const known = { address, gateway: gateway.identity, registeredAt: new Date(nowMs).toISOString() }
  writeFileAtomically(home.file('requester.json'), `${JSON.stringify(known, null, 2)}\n`)
  return known
}

/** Error: `MIX_DATA_CORRUPT`. */
export function readFacts(home: DataHome): RequesterFacts {
  const path = home.file('requester.json')
  try {
    return facts.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch (cause) {
    const message = `The file ${path} does not describe a requester; it is left as it is.`
    throw new MixError('MIX_DATA_CORRUPT', message, { kind: 'local', data: { path }, cause })
  }
}

/** Remove what an initialisation has made that did not come to its end; what was there before stays. Returns how. */
export function discardLater(home: DataHome): () => void {
  const store = storeFileOf(home)
  // Keys of a backup are kept.
  const made = existsSync(store) ? [] : ['', '-wal', '-shm', '-journal'].map((suffix) => `${store}${suffix}`)
  return () => {
    for (const path of made) rmSync(path, { force: true })
    try {
      rmdirSync(home.path)
    } catch {
      // It is not empty.
    }
  }
}
