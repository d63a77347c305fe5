/** Waiting for messages of a client of ours, with a deadline that says what was missing. */
import type { Client, ReceivedMessage } from '@mixwright/client'
import { RealClock } from '@mixwright/runtime'

/** Far beyond what a busy machine needs: it turns a hang into a sentence. */
const PATIENCE_MS = 90_000

/** The next `count` messages that the client gets, in order of arrival. */
export async function take(client: Client, count: number): Promise<ReceivedMessage[]> {
  const taken: ReceivedMessage[] = []
  let giveUp: (error: Error) => void = () => {}
  const deadline = new Promise<never>((_, reject) => {
    giveUp = reject
  })
  const timer = new RealClock().setTimer(PATIENCE_MS, () => {
    const status = JSON.stringify(client.status().counters)
    giveUp(new Error(`only ${taken.length} of ${count} messages came within ${PATIENCE_MS / 1000} s: ${status}`))
  })
  const taking = (async () => {
    for await (const message of client.messages()) if (taken.push(message) === count) return taken
    throw new Error(`the client was closed after ${taken.length} of ${count} messages`)
  })()
  try {
    return await Promise.race([taking, deadline])
  } finally {
    timer.cancel()
  }
}
