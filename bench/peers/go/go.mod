module netpoll/bench/peers/go

go 1.21
