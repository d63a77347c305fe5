// A service for people it never learns the address of: answers messages, and echoes streams, until Ctrl-C.
//
//   npx mixwright exec -- node docs/examples/service.mjs
import { serve } from '@mixwright/services'

const service = await serve(
  {
    message: async (message) => `you said ${message.text()}`,
    stream: async (stream) => stream.readable.pipeTo(stream.writable),
  },
  { directory: process.env.NYM_API, dataDirectory: './my-service', handleSignals: true },
)
console.log(service.address)
