/**
 * Where the answers to a client go (06-service-providers §2.5): to the address that its Connect gives, or by the reply blocks of its
 * sender tag. Answers carry no reply blocks of ours (trap T17). How many may be under way is the connections' business.
 */
import type { ArrivedMessage, Client, SendHandle } from '@mixwright/client'
import { encodeProviderResponse, formatRecipient, type ProviderResponse, type Recipient } from '@mixwright/wire'

export interface ReturnPath {
  /** Names the client: its address, or its sender tag. */
  readonly client: string
  /** A ConnectionError does no harm: it is not mix-fetch, which always gives its address (06 §3). */
  readonly bearsErrors: boolean
  /** Send on the lane of a connection; 0 is that of answers which belong to none. */
  send(response: ProviderResponse, lane: bigint): SendHandle
}

/** Undefined: the message came with neither, and cannot be answered. The address wins. */
export function returnPathOf(
  client: Client,
  { senderTag }: Pick<ArrivedMessage, 'senderTag'>,
  returnAddress?: Recipient,
): ReturnPath | undefined {
  if (returnAddress !== undefined) {
    const address = formatRecipient(returnAddress)
    return {
      client: address,
      bearsErrors: false,
      send: (response, lane) => client.send(address, encodeProviderResponse(response), { lane }),
    }
  }
  if (senderTag === undefined) return undefined
  return {
    client: senderTag,
    bearsErrors: true,
    send: (response, lane) => client.reply(senderTag, encodeProviderResponse(response), { lane }),
  }
}
