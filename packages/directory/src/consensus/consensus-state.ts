/**
 * What an authority must not forget (03-directory §18): the last document, which the next one follows, and the last round that
 * it began, so that no restart makes it vote twice in one. Kept in one file, written whole; without a path, in memory only.
 */
import { readFileSync } from 'node:fs'
import { MixError, utf8 } from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'
import type { Consensus } from '@mixwright/wire'

export interface RoundName {
  readonly epochId: number
  readonly round: number
}

interface Kept {
  readonly begun: RoundName
  /** As it was served; verified again when it is read. */
  readonly consensus: Consensus | null
}

export class ConsensusState {
  readonly #path: string | undefined
  #kept: Kept = { begun: { epochId: -1, round: 0 }, consensus: null }

  /** Error: `MIX_CONSENSUS_STATE` when the file is there and damaged; it is left as it is. */
  constructor(path?: string) {
    this.#path = path
    const text = path === undefined ? undefined : readIfThere(path)
    if (text !== undefined) this.#kept = parse(path!, text)
  }

  /** The last document, canonical JSON; to be verified like any other. */
  get consensus(): Uint8Array | undefined {
    const { consensus } = this.#kept
    return consensus === null ? undefined : utf8(JSON.stringify(consensus))
  }

  /** Note that a round begins; false when it, or a later one, has begun before. Error: `MIX_FILE_WRITE`. */
  begin(name: RoundName): boolean {
    const { begun } = this.#kept
    if (name.epochId < begun.epochId || (name.epochId === begun.epochId && name.round <= begun.round)) return false
    this.#keep({ ...this.#kept, begun: name })
    return true
  }

  /** Error: `MIX_FILE_WRITE`. */
  follow(consensus: Consensus): void {
    this.#keep({ ...this.#kept, consensus })
  }

  #keep(kept: Kept): void {
    if (this.#path !== undefined) writeFileAtomically(this.#path, JSON.stringify(kept))
    this.#kept = kept
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw damaged(path, (error as Error).message, error)
  }
}

function parse(path: string, text: string): Kept {
  try {
    const { begun, consensus } = JSON.parse(text) as Kept
    if ([begun.epochId, begun.round].every(Number.isInteger) && typeof consensus === 'object')
      return { begun, consensus }
  } catch (error) {
    throw damaged(path, 'it is damaged', error)
  }
  throw damaged(path, 'it is damaged')
}

function damaged(path: string, reason: string, cause?: unknown): MixError {
  const message = `The authority's state in ${path} cannot be used: ${reason}.`
  return new MixError('MIX_CONSENSUS_STATE', message, { kind: 'local', data: { path, reason }, cause })
}
