/** The child process of our `fetch` for `bench:exit`: obeys commands like those of interop's mix-fetch, so that both are measured alike. */
import { type Client, connect, createFetch, type Fetch, type ProfileName } from '@mixwright/client'
import { obey } from '@mixwright/interop/driven-child'
import type { Fetched } from '@mixwright/interop/mix-fetch'
import { RealClock } from '@mixwright/runtime'

export interface OurFetchStart {
  readonly nymApiUrl: string
  readonly requester: string
  readonly gateway: string
  readonly profile: ProfileName
  readonly anonymous: boolean
}

export type OurFetchCommand =
  | { readonly kind: 'start'; readonly options: OurFetchStart }
  | { readonly kind: 'fetch'; readonly url: string }
  | { readonly kind: 'usage' }

const clock = new RealClock()
let client: Client
let fetch: Fetch

async function start({ nymApiUrl, requester, gateway, profile, anonymous }: OurFetchStart): Promise<number> {
  const startedAt = clock.monotonic()
  client = await connect({ directory: nymApiUrl, gateway, profile })
  fetch = createFetch(client, { requester, anonymous })
  return clock.monotonic() - startedAt
}

async function get(url: string): Promise<Fetched> {
  const startedAt = clock.monotonic()
  const response = await fetch(url)
  const reader = response.body!.getReader()
  const chunks: Uint8Array[] = []
  let headMs: number | undefined
  for (;;) {
    const { done, value } = await reader.read()
    headMs ??= clock.monotonic() - startedAt
    if (done) break
    chunks.push(value)
  }
  const totalMs = clock.monotonic() - startedAt
  const headers = Object.fromEntries(response.headers)
  return { status: response.status, headers, body: new Uint8Array(Buffer.concat(chunks)), headMs, totalMs }
}

obey((command: OurFetchCommand) => {
  switch (command.kind) {
    case 'start':
      return start(command.options)
    case 'fetch':
      return get(command.url)
    case 'usage': {
      const { user, system } = process.cpuUsage()
      const { packetsSent, coverSent, retransmissions } = client.status().counters
      return {
        cpuMs: (user + system) / 1000,
        rssBytes: process.memoryUsage.rss(),
        packetsSent,
        coverSent,
        retransmissions,
      }
    }
  }
})
