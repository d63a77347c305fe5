/** What a directory has learnt, read from its disk without starting it and also while it runs; nothing is changed. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MixError } from '@mixwright/runtime'
import { z } from 'zod'
import { STATE_FILE } from './directory-state.js'

export interface DirectoryInspection {
  /** Nodes that have a number. */
  readonly knownNodes: number
  /** Nodes that registered themselves and are remembered. */
  readonly registeredNodes: number
}

const counted = z.object({ ids: z.array(z.unknown()), registrations: z.array(z.unknown()) })

/** Look into a directory's state directory. Error: `MIX_DIRECTORY_STATE` when what is there is unreadable. */
export function inspectDirectory(stateDirectory: string): DirectoryInspection {
  const path = join(stateDirectory, STATE_FILE)
  if (!existsSync(path)) return { knownNodes: 0, registeredNodes: 0 }
  try {
    const { ids, registrations } = counted.parse(JSON.parse(readFileSync(path, 'utf8')))
    return { knownNodes: ids.length, registeredNodes: registrations.length }
  } catch (cause) {
    const message = `The state ${path} cannot be read; it is left as it is.`
    throw new MixError('MIX_DIRECTORY_STATE', message, { kind: 'local', data: { path }, cause })
  }
}
