module ringo/bench/peers/go

go 1.19
