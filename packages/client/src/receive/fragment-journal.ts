/**
 * Fragments of unfinished messages in the store: their acks have gone out, so nobody will send them again, and a client that
 * is killed between two of them would lose the message. A message in one packet is never here.
 */
import { concatBytes } from '@mixwright/runtime'
import { decodeFragment, type Fragment, writeFragmentHeader } from '@mixwright/wire'
import type { ClientStore } from '../store/client-store.js'
import type { Journal } from '../store/journal.js'

export class FragmentJournal {
  readonly #journal: Journal
  readonly #positions = new Map<number, number[]>()

  constructor(journal: Journal) {
    this.#journal = journal
  }

  /** What an earlier process kept. */
  async restore(store: ClientStore): Promise<Fragment[]> {
    const fragments: Fragment[] = []
    for (const [key, value] of await store.load('fragments')) {
      const fragment = decodeFragment(value)
      if (fragment === undefined) {
        this.#journal.delete('fragments', key)
        continue
      }
      this.#remember(fragment)
      fragments.push(fragment)
    }
    return fragments
  }

  keep(fragment: Fragment): void {
    this.#remember(fragment)
    const { setId, total, position, previousSetId, nextSetId } = fragment
    const header = new Uint8Array(10)
    const headerBytes = writeFragmentHeader(header, setId, total, position, previousSetId ?? nextSetId)
    this.#journal.put(
      'fragments',
      keyOf(setId, position),
      concatBytes(header.subarray(0, headerBytes), fragment.payload),
    )
  }

  /** A set is finished, or was given up. */
  forget(setId: number): void {
    for (const position of this.#positions.get(setId) ?? []) this.#journal.delete('fragments', keyOf(setId, position))
    this.#positions.delete(setId)
  }

  #remember({ setId, position }: Fragment): void {
    const positions = this.#positions.get(setId)
    if (positions) positions.push(position)
    else this.#positions.set(setId, [position])
  }
}

function keyOf(setId: number, position: number): string {
  return `${setId.toString(36)} ${position}`
}
