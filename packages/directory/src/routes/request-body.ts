/** The body of a request, from a stranger: bounded in size and in time (03-directory §1), and so is how many are read at once. */
import { type Clock, concatBytes } from '@mixwright/runtime'

/** Bodies that are read at the same time; a further one is refused. */
const MOST_BODIES = 64
/** For a body, from its first byte to its last, milliseconds. */
const BODY_MS = 10_000

export class RequestBodies {
  readonly #clock: Clock
  #reading = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Parsed JSON; or the status and text to refuse with. */
  async json(request: Request, maxBytes: number): Promise<{ readonly value: unknown } | BodyRefusal> {
    if (this.#reading >= MOST_BODIES) return { status: 503, reason: 'busy' }
    this.#reading++
    try {
      const bytes = await readBody(request, maxBytes, this.#clock)
      if (bytes === undefined) return { status: 400, reason: 'the body is too long, or too slow' }
      return { value: JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) }
    } catch {
      return { status: 400, reason: 'the body is no JSON' }
    } finally {
      this.#reading--
    }
  }
}

export interface BodyRefusal {
  readonly status: 400 | 503
  readonly reason: string
}

/** The whole body; undefined when it is longer than `maxBytes`, breaks off, or takes too long. */
export async function readBody({ body }: Request, maxBytes: number, clock: Clock): Promise<Uint8Array | undefined> {
  if (body === null) return new Uint8Array(0)
  const reader = body.getReader()
  const cancel = () => void reader.cancel().catch(() => {})
  let late = false
  const timer = clock.setTimer(
    BODY_MS,
    () => {
      late = true
      cancel()
    },
    { background: true },
  )
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (late) return undefined
      if (done) return concatBytes(...chunks)
      length += value.length
      if (length > maxBytes) {
        cancel()
        return undefined
      }
      chunks.push(value)
    }
  } catch {
    return undefined
  } finally {
    timer.cancel()
  }
}
