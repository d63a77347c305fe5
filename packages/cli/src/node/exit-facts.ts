/** The files of a gateway's exit in the node's directory: its client's store, and what of it can be shown while the node runs. */
import { existsSync, readFileSync } from 'node:fs'
import { MixError } from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'
import { z } from 'zod'
import type { DataHome } from '../data-home.js'

const facts = z.strictObject({ address: z.string() })

export function exitStoreFile(home: DataHome): string {
  return home.file('network-requester/client.sqlite')
}

/** Its directory exists. Error: `MIX_FILE_WRITE`. */
export function writeExitAddress(home: DataHome, address: string): void {
  writeFileAtomically(factsFile(home), `${JSON.stringify({ address })}\n`)
}

/** Null before it served for the first time. Error: `MIX_DATA_CORRUPT`. */
export function exitAddress(home: DataHome): string | null {
  const path = factsFile(home)
  if (!existsSync(path)) return null
  try {
    return facts.parse(JSON.parse(readFileSync(path, 'utf8'))).address
  } catch (cause) {
    const message = `The file ${path} does not describe a requester; it is left as it is.`
    throw new MixError('MIX_DATA_CORRUPT', message, { kind: 'local', data: { path }, cause })
  }
}

function factsFile(home: DataHome): string {
  return home.file('network-requester/requester.json')
}
