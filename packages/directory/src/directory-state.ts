/**
 * What a directory has learnt and keeps over a restart, in `directory-state.json`: the numbers of nodes, registrations, layers
 * and counts of probes. All of it can be learnt anew, so a damaged file is set aside beside its place and the directory begins
 * without. Numbers are on the disk before they are published.
 */
import { existsSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { MixError } from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'
import { z } from 'zod'

export const STATE_FILE = 'directory-state.json'

const id = z.int().min(0).max(0xffff_ffff)
const count = z.int().min(0)
const stateSchema = z.strictObject({
  version: z.literal(1),
  nextNodeId: z.int().min(1).max(0xffff_ffff),
  /** The one longest unasked for first. */
  ids: z.array(z.tuple([z.string(), id])),
  registrations: z.array(
    z.strictObject({ identityKey: z.string(), host: z.string(), httpPort: z.int().min(1).max(65_535) }),
  ),
  document: z.strictObject({ epochId: id, hash: z.string(), layers: z.array(z.array(id)).max(3) }).nullable(),
  /** Groups of probes that took the same way: when, over whom, how many, how many of them came home. */
  probes: z.array(z.tuple([z.number(), z.array(z.string()).max(8), count, count])),
})
export type StoredState = z.infer<typeof stateSchema>

export class DirectoryState {
  readonly #file: string
  readonly #content: StoredState | undefined
  /** Where a damaged file was put. */
  readonly setAside: string | undefined
  #written = ''

  /** Read the state in the directory `path`. Error: `MIX_DIRECTORY_STATE` when it cannot even be set aside. */
  constructor(path: string) {
    this.#file = join(path, STATE_FILE)
    if (!existsSync(this.#file)) return
    try {
      this.#content = stateSchema.parse(JSON.parse(readFileSync(this.#file, 'utf8')))
    } catch {
      this.setAside = `${this.#file}.damaged`
      try {
        renameSync(this.#file, this.setAside)
      } catch (cause) {
        const message = `The state ${this.#file} is damaged and cannot be set aside.`
        throw new MixError('MIX_DIRECTORY_STATE', message, { kind: 'local', data: { path: this.#file }, cause })
      }
    }
  }

  /** As it was at the start; undefined when there was none. */
  get content(): StoredState | undefined {
    return this.#content
  }

  /** Write it, if it has changed. Error: `MIX_FILE_WRITE`; the file is then as before. */
  save(state: StoredState): void {
    const text = JSON.stringify(state)
    if (text === this.#written) return
    writeFileAtomically(this.#file, `${text}\n`)
    this.#written = text
  }
}
